// The SDK in place of this package, for tsconfig.sdk.json: shows that the example application is one
// of the SDK. Only the options of the login are another.
import type { ZIMLoginConfig } from "zego-zim-web";

export * from "zego-zim-web";
export type PeerdOptions = Omit<ZIMLoginConfig, "userName">;

// Starts the page.
import { render } from "preact";
import { App } from "./ui/App.js";
import { AppState } from "./state/app.js";
import "./styles/index.css";

const root = document.getElementById("app");
if (root) render(<App app={new AppState()} />, root);

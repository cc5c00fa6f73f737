// One menu at a time, in the browser's top layer.
import { signal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import type { ComponentChildren } from "preact";
import { Icon } from "./icons.js";
import type { IconName } from "./icons.js";

export interface MenuItem {
  label: string;
  icon: IconName;
  run: () => void;
  isDangerous?: boolean;
}

interface OpenMenu {
  anchor: HTMLElement;
  label: string;
  items: MenuItem[];
  header?: ComponentChildren;
}

const open = signal<OpenMenu | undefined>(undefined);
const MARGIN_PX = 8;

/** Opens a menu, or closes it if its button is pressed again. */
export function openMenu(menu: OpenMenu): void {
  if (open.value?.anchor === menu.anchor) closeMenu();
  else open.value = menu;
}

export function closeMenu(): void {
  const { anchor } = open.value ?? {};
  open.value = undefined;
  anchor?.focus();
}

export function MenuHost() {
  const menu = open.value;
  return menu ? <Menu menu={menu} key={menu.label} /> : null;
}

function Menu({ menu }: { menu: OpenMenu }) {
  const root = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const element = root.current;
    if (!element) return;
    element.showPopover();
    place(element, menu.anchor.getBoundingClientRect());
    element.querySelector<HTMLElement>("button")?.focus();
    // A popover that closes by itself would close when the button is released after a right click.
    const onPress = (event: PointerEvent): void => {
      const target = event.target as Node;
      if (!element.contains(target) && !menu.anchor.contains(target)) closeMenu();
    };
    document.addEventListener("pointerdown", onPress, true);
    return () => document.removeEventListener("pointerdown", onPress, true);
  }, [menu]);
  return (
    <div
      ref={root}
      class="menu"
      role="menu"
      popover="manual"
      aria-label={menu.label}
      onKeyDown={(event) => moveFocus(event, root.current)}
    >
      {menu.header}
      {menu.items.map((item) => (
        <button
          type="button"
          role="menuitem"
          class={item.isDangerous ? "menu-item dangerous" : "menu-item"}
          onClick={() => {
            closeMenu();
            item.run();
          }}
        >
          <Icon name={item.icon} size={18} />
          {item.label}
        </button>
      ))}
    </div>
  );
}

/** Below the anchor, or above it if there is more room; always inside the window. */
function place(element: HTMLElement, anchor: DOMRect): void {
  const { width, height } = element.getBoundingClientRect();
  const isBelow = anchor.bottom + height + MARGIN_PX < innerHeight;
  const top = isBelow ? anchor.bottom + 4 : Math.max(MARGIN_PX, anchor.top - height - 4);
  const left = Math.min(innerWidth - width - MARGIN_PX, Math.max(MARGIN_PX, anchor.right - width));
  element.style.top = `${top}px`;
  element.style.left = `${left}px`;
}

const STEPS: Readonly<Record<string, number>> = {
  ArrowDown: 1,
  ArrowRight: 1,
  ArrowUp: -1,
  ArrowLeft: -1,
};

function moveFocus(event: KeyboardEvent, root: HTMLElement | null): void {
  const buttons = [...(root?.querySelectorAll<HTMLElement>("button") ?? [])];
  const at = buttons.indexOf(document.activeElement as HTMLElement);
  const step = STEPS[event.key];
  if (event.key === "Tab" || event.key === "Escape") {
    event.preventDefault();
    closeMenu();
  } else if (event.key === "Home" || event.key === "End") {
    event.preventDefault();
    buttons.at(event.key === "Home" ? 0 : -1)?.focus();
  } else if (step) {
    event.preventDefault();
    buttons[(at + step + buttons.length) % buttons.length]?.focus();
  }
}

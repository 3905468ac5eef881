/** The picture on the page: zoom, comparison with another one, a rectangle drawn by hand. */

import { element } from "./dom.ts";

const ZOOMS = [0.125, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 16];

export class Stage {
  canvas = element<HTMLCanvasElement>("canvas");
  private stage = element("stage");
  private picture = element("picture");
  private other = element<HTMLImageElement>("other");
  private divider = element<HTMLInputElement>("divider");
  /** Screen pixels a pixel of the picture; null fits all of it. */
  private zoom: number | null = null;

  constructor(onRegion: (x: number, y: number, width: number, height: number) => void) {
    element("fit").onclick = () => this.setZoom(null);
    element("larger").onclick = () => this.step(1);
    element("smaller").onclick = () => this.step(-1);
    element("alone").onclick = () => this.compare(null);
    this.divider.oninput = () => this.divide();
    new ResizeObserver(() => this.lay()).observe(this.stage);
    this.stage.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "+" || event.key === "=") this.step(1);
      else if (event.key === "-") this.step(-1);
      else if (event.key === "0") this.setZoom(null);
      else return;
      event.preventDefault();
    });
    this.stage.addEventListener(
      "wheel",
      (event) => {
        if (!event.ctrlKey || !this.canvas.width) return; // also a pinch
        event.preventDefault();
        this.setZoom(this.current * 2 ** (-event.deltaY / 200), event);
      },
      { passive: false },
    );
    this.drawRegions(onRegion);
    this.slide();
  }

  /** Show the picture; what is transparent of it lies on squares. */
  show(hasAlpha: boolean): void {
    element("hint").hidden = true;
    this.picture.hidden = false;
    this.picture.classList.toggle("alpha", hasAlpha);
    this.lay();
  }

  /** Make room for another file, on a canvas that may have other colours. */
  clear(): void {
    this.canvas.width = this.canvas.height = 0; // its memory would stay
    const fresh = this.canvas.cloneNode() as HTMLCanvasElement;
    this.canvas.replaceWith(fresh);
    this.canvas = fresh;
    this.picture.hidden = true;
    this.zoom = null;
  }

  /** Lay another picture over the right side, or none; `fail` tells that it does not show. */
  compare(image: { address: string; label: string; own: string; fail(): void } | null): void {
    if (this.other.src.startsWith("blob:")) URL.revokeObjectURL(this.other.src);
    const isOn = image !== null;
    for (const each of [this.other, this.divider, element("alone"), element("sides")])
      each.hidden = !isOn;
    if (!image) return this.other.removeAttribute("src");
    this.other.onerror = image.fail;
    this.other.src = image.address;
    element("left").textContent = image.own;
    element("right").textContent = image.label;
    this.divide();
  }

  private divide(): void {
    this.other.style.clipPath = `inset(0 0 0 ${this.divider.value}%)`;
  }

  /** Move the divider by dragging over the picture. */
  private slide(): void {
    this.picture.addEventListener("pointermove", (event) => {
      const isDragged = event.buttons & 1 || event.pointerType !== "mouse";
      if (this.other.hidden || !isDragged || this.stage.classList.contains("drawing")) return;
      const { left, width } = this.picture.getBoundingClientRect();
      this.divider.value = String((100 * (event.clientX - left)) / width);
      this.divide();
    });
    this.other.draggable = false;
  }

  private get ratio(): number {
    return window.devicePixelRatio;
  }

  private get fitted(): number {
    const { clientWidth, clientHeight } = this.stage;
    const all = Math.min(clientWidth / this.canvas.width, clientHeight / this.canvas.height);
    return Math.min(all * this.ratio, Math.max(1, this.ratio));
  }

  private get current(): number {
    return this.zoom ?? this.fitted;
  }

  private step(by: number): void {
    if (!this.canvas.width) return;
    const near =
      by > 0
        ? ZOOMS.find((z) => z > this.current * 1.01)
        : ZOOMS.findLast((z) => z < this.current * 0.99);
    if (near) this.setZoom(near);
  }

  /** Zoom so that what is under the pointer, or in the middle, stays. */
  private setZoom(zoom: number | null, at?: MouseEvent): void {
    const { stage } = this;
    const box = stage.getBoundingClientRect();
    const x = at ? at.clientX - box.left : stage.clientWidth / 2;
    const y = at ? at.clientY - box.top : stage.clientHeight / 2;
    const [across, down] = [
      (stage.scrollLeft + x) / stage.scrollWidth,
      (stage.scrollTop + y) / stage.scrollHeight,
    ];
    this.zoom = zoom && Math.min(Math.max(zoom, ZOOMS[0]), ZOOMS.at(-1)!);
    this.lay();
    stage.scrollLeft = across * stage.scrollWidth - x;
    stage.scrollTop = down * stage.scrollHeight - y;
  }

  private lay(): void {
    if (!this.canvas.width || this.picture.hidden) return;
    const scale = this.current / this.ratio;
    this.picture.style.width = `${this.canvas.width * scale}px`;
    this.picture.style.height = `${this.canvas.height * scale}px`;
    this.picture.classList.toggle("sharp", this.current >= 2);
    element("zoom").textContent = `${Math.round(100 * this.current)} %`;
  }

  private drawRegions(
    onRegion: (x: number, y: number, width: number, height: number) => void,
  ): void {
    const draw = element<HTMLButtonElement>("draw");
    const frame = element("frame");
    const toggle = (isOn: boolean) => {
      draw.setAttribute("aria-pressed", String(isOn));
      this.stage.classList.toggle("drawing", isOn);
      frame.hidden = true;
    };
    draw.onclick = () => toggle(draw.getAttribute("aria-pressed") !== "true");
    let from: [number, number] | null = null;
    const place = (event: PointerEvent): [number, number] => {
      const { left, top, width, height } = this.picture.getBoundingClientRect();
      const clamp = (share: number) => Math.min(Math.max(share, 0), 1);
      return [clamp((event.clientX - left) / width), clamp((event.clientY - top) / height)];
    };
    this.stage.addEventListener("pointerdown", (event) => {
      if (!this.stage.classList.contains("drawing")) return;
      event.preventDefault();
      this.stage.setPointerCapture(event.pointerId);
      from = place(event);
    });
    const corners = (event: PointerEvent) => {
      const to = place(event);
      const [x0, x1] = [from![0], to[0]].sort((a, b) => a - b);
      const [y0, y1] = [from![1], to[1]].sort((a, b) => a - b);
      return [x0, y0, x1, y1];
    };
    this.stage.addEventListener("pointermove", (event) => {
      if (!from) return;
      const [x0, y0, x1, y1] = corners(event);
      frame.hidden = false;
      frame.style.inset = `${100 * y0}% ${100 * (1 - x1)}% ${100 * (1 - y1)}% ${100 * x0}%`;
    });
    this.stage.addEventListener("pointercancel", () => {
      from = null;
      frame.hidden = true;
    });
    this.stage.addEventListener("pointerup", (event) => {
      if (!from) return;
      const [x0, y0, x1, y1] = corners(event);
      from = null;
      toggle(false);
      const { width, height } = this.canvas;
      // where that is in the picture as it is stored
      const back = this.canvas.getContext("2d")!.getTransform().inverse();
      const [a, b] = [
        back.transformPoint(new DOMPoint(x0 * width, y0 * height)),
        back.transformPoint(new DOMPoint(x1 * width, y1 * height)),
      ];
      const [left, top] = [Math.floor(Math.min(a.x, b.x)), Math.floor(Math.min(a.y, b.y))];
      const [right, bottom] = [Math.ceil(Math.max(a.x, b.x)), Math.ceil(Math.max(a.y, b.y))];
      if (right - left > 1 && bottom - top > 1) onRegion(left, top, right - left, bottom - top);
    });
  }
}

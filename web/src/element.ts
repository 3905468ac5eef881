/**
 * `<img-hvae src="photo.hvae" alt="…">`: an image, as far as a page can make one.
 *
 *     src       address of the file
 *     alt       what it shows, for those who do not see it
 *     loading   "lazy" waits until it is nearly on the screen
 *     width, height    size in CSS px; of the picture by default
 *     fallback  address of an image that is shown where decoding fails
 *     max-pixels  a larger picture is refused; 67108864 by default
 *
 * Events: `progress` (levels there, of how many), `load`, `error` (an HvaeError as its detail).
 */

import { show } from "./decode.ts";
import { Painter } from "./painter.ts";

const STYLE = `
  :host { display: inline-block; overflow: hidden; max-width: 100%; vertical-align: bottom; }
  :host([hidden]) { display: none; }
  canvas, img { display: block; width: 100%; height: 100%; object-fit: inherit; }
  p { margin: 0; padding: .5em; font: inherit; }
`;

/** Where there is no page, as on a server, this module loads and does nothing. */
const Base = globalThis.HTMLElement ?? (class {} as typeof HTMLElement);

export class ImgHvae extends Base {
  static observedAttributes = ["src", "alt", "width", "height", "loading"];

  private stage = this.attachShadow({ mode: "open" });
  private canvas = document.createElement("canvas");
  private stopping: AbortController | null = null;
  private watch: IntersectionObserver | null = null;
  private isBeginning = false;
  /** Whether the picture of these attributes is shown, on its way, or waited for. */
  private hasBegun = false;
  /** Whether all of it is shown. */
  complete = false;
  naturalWidth = 0;
  naturalHeight = 0;

  constructor() {
    super();
    const style = document.createElement("style");
    style.textContent = STYLE;
    this.stage.append(style, this.canvas);
    this.canvas.setAttribute("role", "img");
  }

  get src(): string {
    return this.getAttribute("src") ?? "";
  }

  set src(address: string) {
    this.setAttribute("src", address);
  }

  connectedCallback(): void {
    if (!this.hasBegun) this.beginSoon();
  }

  disconnectedCallback(): void {
    // an element that is only moved is connected again by then
    queueMicrotask(() => {
      if (!this.isConnected && !this.complete) this.stop();
    });
  }

  attributeChangedCallback(name: string): void {
    if (name === "alt") this.canvas.setAttribute("aria-label", this.getAttribute("alt") ?? "");
    else if (name === "width" || name === "height") this.size();
    else if (this.isConnected) this.beginSoon();
    else this.stop();
  }

  private stop(): void {
    this.stopping?.abort(new DOMException("another picture is wanted", "AbortError"));
    this.watch?.disconnect();
    this.watch = null;
    this.hasBegun = false;
  }

  /** Begin once all attributes are there that are set together. */
  private beginSoon(): void {
    if (this.isBeginning) return;
    this.isBeginning = true;
    this.complete = false;
    queueMicrotask(() => {
      this.isBeginning = false;
      this.begin();
    });
  }

  /** Begin to load, or wait until the element comes near the screen. */
  private begin(): void {
    this.stop();
    this.complete = false;
    this.naturalWidth = this.naturalHeight = 0;
    if (!this.src || !this.isConnected) {
      this.canvas.width = this.canvas.height = 0;
      this.show(this.canvas);
      return;
    }
    this.hasBegun = true;
    if (this.getAttribute("loading") !== "lazy") {
      void this.load();
      return;
    }
    this.watch = new IntersectionObserver(
      (entries) => {
        if (!entries.some((entry) => entry.isIntersecting)) return;
        this.watch?.disconnect();
        void this.load();
      },
      { rootMargin: "50%" },
    );
    this.watch.observe(this);
  }

  private async load(): Promise<void> {
    const stopping = new AbortController();
    this.stopping = stopping;
    // a canvas of its own: what still comes of the picture before must not be drawn over this one
    const canvas = this.canvas.cloneNode() as HTMLCanvasElement;
    canvas.width = canvas.height = 0;
    this.canvas = canvas;
    const painter = new Painter(canvas);
    this.show(canvas);
    try {
      let levels = 0;
      let drawn = Promise.resolve();
      await show(new URL(this.src, document.baseURI).href, {
        progressive: true,
        signal: stopping.signal,
        maxPixels: Number(this.getAttribute("max-pixels")) || undefined,
        onIndex: (index) => {
          if (stopping.signal.aborted) return;
          levels = index.levels;
          painter.begin(index);
          [this.naturalWidth, this.naturalHeight] = [canvas.width, canvas.height];
          this.size();
        },
        onArea: (area) => {
          if (stopping.signal.aborted) return;
          drawn = painter.draw(area);
          this.tell("progress", { levels: area.levels, of: levels });
        },
      });
      await drawn;
      if (stopping.signal.aborted) return;
      this.complete = true;
      this.tell("load");
    } catch (error) {
      if (stopping.signal.aborted) return;
      this.fail();
      this.tell("error", error);
    }
  }

  /** Show another image in place of one that cannot be decoded, or the words for it. */
  private fail(): void {
    const fallback = this.getAttribute("fallback");
    const alt = this.getAttribute("alt") ?? "";
    if (fallback) {
      const image = document.createElement("img");
      Object.assign(image, { src: fallback, alt });
      this.show(image);
    } else if (!this.naturalWidth) {
      const words = document.createElement("p");
      words.textContent = alt;
      this.show(words);
    }
  }

  private show(what: HTMLElement): void {
    this.stage.lastElementChild!.replaceWith(what);
  }

  private size(): void {
    const width = Number(this.getAttribute("width")) || null;
    const height = Number(this.getAttribute("height")) || null;
    const ratio = this.naturalWidth / this.naturalHeight || null;
    const wide = width ?? (height && ratio ? height * ratio : this.naturalWidth || null);
    this.style.setProperty("width", wide ? `${wide}px` : "");
    this.style.setProperty("height", width && height ? `${height}px` : "");
    this.style.setProperty("aspect-ratio", ratio && !(width && height) ? `${ratio}` : "");
  }

  private tell(event: string, detail?: unknown): void {
    this.dispatchEvent(new CustomEvent(event, { detail }));
  }
}

// a page may load this module twice, from two places
if (globalThis.customElements && !customElements.get("img-hvae")) {
  customElements.define("img-hvae", ImgHvae);
}

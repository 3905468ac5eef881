/**
 * `<img-hvae src="photo.hvae" alt="…">`: an image, as far as a page can make one.
 *
 *     src       address of the file
 *     alt       what it shows, for those who do not see it; empty where it only decorates
 *     loading   "lazy" waits until it is nearly on the screen
 *     width, height    size in CSS px or %; of the picture by default
 *     fallback  address of an image that is shown where decoding fails
 *     max-pixels  a larger picture is refused; 67108864 by default
 *
 * Properties are as an image's. Events: `progress` (levels there, of how many), `load`, `error` (its
 * detail is what went wrong). Parts for style sheets: `image`, and `alt`, the words in its place.
 */

import { show } from "./decode.ts";
import { Painter } from "./painter.ts";
import { inTurn } from "./queue.ts";

/**
 * `max-content`, and limits of 100 % in place of sizes: by `fit-content` and sizes WebKit would make an
 * element too wide of which only the height is given.
 */
const STYLE = `
  :host { display: inline-block; width: max-content; max-width: 100%; overflow: hidden; vertical-align: bottom; }
  :host([hidden]) { display: none; }
  [part=image] {
    display: block; min-width: 100%; max-width: 100%; min-height: 100%; max-height: 100%;
    aspect-ratio: inherit; object-fit: inherit; object-position: inherit;
  }
  [part=alt] { margin: 0; padding: .5em; }
`;

/** Where there is no page, as on a server, this module loads and does nothing. */
const Base = globalThis.HTMLElement ?? (class {} as typeof HTMLElement);

/** A picture that is loaded, or on its way. */
interface Loading {
  address: string;
  stopping: AbortController;
  canvas: HTMLCanvasElement;
  done: Promise<void>;
}

export class ImgHvae extends Base {
  static observedAttributes = ["src", "alt", "width", "height", "loading"];

  private internals = this.attachInternals();
  private stage = this.attachShadow({ mode: "open" });
  /** Rules of its own, which any rule of the page for the element beats. */
  private sheet = new CSSStyleSheet();
  private current: Loading | null = null;
  private watch: IntersectionObserver | null = null;
  private isBeginning = false;
  private isOver = false;
  private natural: [number, number] = [0, 0];

  constructor() {
    super();
    this.stage.adoptedStyleSheets = [this.sheet];
    this.describe();
    this.size();
  }

  get src(): string {
    return this.resolved("src");
  }

  set src(address: string) {
    this.setAttribute("src", address);
  }

  get alt(): string {
    return this.getAttribute("alt") ?? "";
  }

  set alt(words: string) {
    this.setAttribute("alt", words);
  }

  get loading(): "eager" | "lazy" {
    return this.getAttribute("loading")?.toLowerCase() === "lazy" ? "lazy" : "eager";
  }

  set loading(when: "eager" | "lazy") {
    this.setAttribute("loading", when);
  }

  get fallback(): string {
    return this.resolved("fallback");
  }

  set fallback(address: string) {
    this.setAttribute("fallback", address);
  }

  get maxPixels(): number | undefined {
    return Number(this.getAttribute("max-pixels")) || undefined;
  }

  set maxPixels(count: number) {
    this.setAttribute("max-pixels", String(count));
  }

  /** Size in CSS px as it is laid out; as the picture is, where it is not. */
  get width(): number {
    return this.getClientRects().length ? this.clientWidth : this.naturalWidth;
  }

  set width(px: number) {
    this.setAttribute("width", String(px));
  }

  get height(): number {
    return this.getClientRects().length ? this.clientHeight : this.naturalHeight;
  }

  set height(px: number) {
    this.setAttribute("height", String(px));
  }

  /** Size of the picture, turned as its EXIF asks; 0 before it is known, and where there is none. */
  get naturalWidth(): number {
    return this.natural[0];
  }

  get naturalHeight(): number {
    return this.natural[1];
  }

  /** Whether nothing is waited for: all is shown, or nothing can be. */
  get complete(): boolean {
    return this.isOver || !this.getAttribute("src");
  }

  /** The address of what is loaded, or on its way. */
  get currentSrc(): string {
    return this.current?.address ?? "";
  }

  /**
   * Load the picture now, though it may be lazy, or in no document yet; resolves when it is drawn.
   * Throws what `error` tells, or an AbortError where another picture is wanted.
   */
  async decode(): Promise<void> {
    await null; // other attributes may be set together with its address
    return (this.current ?? this.begin()).done;
  }

  connectedCallback(): void {
    this.beginSoon();
  }

  disconnectedCallback(): void {
    // an element that is only moved is connected again by then
    queueMicrotask(() => {
      if (!this.isConnected) this.stop();
    });
  }

  /** A shadow loses its sheets when it moves to another document, as to a window of its own. */
  adoptedCallback(): void {
    const { defaultView } = this.ownerDocument;
    if (!defaultView) return; // nothing is shown in a document of a template
    this.sheet = new defaultView.CSSStyleSheet();
    this.stage.adoptedStyleSheets = [this.sheet];
    this.size();
  }

  attributeChangedCallback(name: string): void {
    if (name === "alt") this.describe();
    else if (name === "width" || name === "height") this.size();
    else {
      if (name === "src") this.stop();
      this.beginSoon();
    }
  }

  /** Begin once all attributes are there that are set together. */
  private beginSoon(): void {
    if (this.isBeginning) return;
    this.isBeginning = true;
    queueMicrotask(() => {
      this.isBeginning = false;
      if (this.current || !this.isConnected || !this.hasAttribute("src")) return;
      if (this.loading === "lazy" && this.getAttribute("src")) this.wait();
      else this.begin();
    });
  }

  /** Begin when the element comes near the screen. */
  private wait(): void {
    this.watch ??= new IntersectionObserver(
      (entries) => {
        if (entries.some((entry) => entry.isIntersecting) && !this.current) this.begin();
      },
      { rootMargin: "50%" },
    );
    this.watch.observe(this);
  }

  private begin(): Loading {
    this.watch?.disconnect();
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 0;
    const loading = { address: this.src, stopping: new AbortController(), canvas };
    const done = this.load(loading);
    done.catch(() => undefined); // the event tells it, and `decode` to those who ask
    this.current = { ...loading, done };
    return this.current;
  }

  /** Let go of the picture, and of its memory. */
  private stop(): void {
    this.watch?.disconnect();
    this.current?.stopping.abort(new DOMException("the picture is not wanted", "AbortError"));
    if (this.current) this.current.canvas.width = this.current.canvas.height = 0;
    this.current = null;
    this.isOver = false;
    this.show();
  }

  private async load({ address, stopping: { signal }, canvas }: Omit<Loading, "done">) {
    let isDrawn = false;
    try {
      if (!address) throw new Error("the element names no picture");
      await inTurn(this, signal, async (progressed) => {
        const painter = new Painter(canvas);
        let levels = 0;
        let drawn = Promise.resolve();
        await show(address, {
          progressive: true,
          signal,
          maxPixels: this.maxPixels,
          onIndex: (index) => {
            progressed();
            levels = index.levels;
            painter.begin(index);
            this.show(canvas, [canvas.width, canvas.height]);
          },
          onArea: (area) => {
            progressed();
            isDrawn = true;
            drawn = painter.draw(area);
            this.tell("progress", { levels: area.levels, of: levels });
          },
        });
        await drawn;
      });
      signal.throwIfAborted();
    } catch (error) {
      if (!signal.aborted) {
        this.isOver = true;
        this.fail(isDrawn);
        this.tell("error", error);
      }
      throw error;
    }
    this.isOver = true;
    this.tell("load");
  }

  /** Show another image in place of one that cannot be decoded, or the words for it. */
  private fail(isDrawn: boolean): void {
    if (this.fallback) {
      const image = document.createElement("img");
      image.src = this.fallback;
      this.show(image);
    } else if (!isDrawn) this.show(document.createElement("p"));
    this.describe();
  }

  /** Show a picture of some size, something in place of it, or nothing. */
  private show(what?: HTMLElement, natural: [number, number] = [0, 0]): void {
    what?.setAttribute("part", what.localName === "p" ? "alt" : "image");
    what?.setAttribute("aria-hidden", "true"); // the element itself tells it
    this.stage.replaceChildren(...(what ? [what] : []));
    this.natural = natural;
    this.size();
  }

  /** Tell those who do not see the picture what it shows. */
  private describe(): void {
    this.internals.role = this.getAttribute("alt") === "" ? "presentation" : "img";
    this.internals.ariaLabel = this.getAttribute("alt");
    const what = this.stage.firstElementChild;
    if (what instanceof HTMLImageElement) what.alt = this.alt;
    else if (what instanceof HTMLParagraphElement) what.textContent = this.alt;
  }

  private size(): void {
    const [width, height] = [this.getAttribute("width"), this.getAttribute("height")].map(lengthOf);
    // with both in px, the height follows from the width, however narrow the page
    const isSized = [width, height].every((length) => length.endsWith("px"));
    const [across, down] = isSized ? [width, height].map(parseFloat) : this.natural;
    const rules = {
      width,
      height: isSized ? "" : height,
      "aspect-ratio": across && down ? `${across} / ${down}` : "",
    };
    const own = Object.entries(rules).map(([name, value]) => (value ? `${name}: ${value};` : ""));
    this.sheet.replaceSync(`${STYLE} :host { ${own.join(" ")} }`);
  }

  private resolved(name: string): string {
    const address = this.getAttribute(name);
    return address && URL.canParse(address, this.baseURI)
      ? new URL(address, this.baseURI).href
      : (address ?? "");
  }

  private tell(event: string, detail?: unknown): void {
    this.dispatchEvent(new CustomEvent(event, { detail }));
  }
}

/** Return what a width or height says: px, a percentage, or nothing. */
function lengthOf(text: string | null): string {
  const found = /^\s*(\d*\.?\d+)\s*(%?)/.exec(text ?? "");
  return found && Number(found[1]) ? found[1] + (found[2] || "px") : "";
}

// a page may load this module twice, from two places
if (globalThis.customElements && !customElements.get("img-hvae")) {
  customElements.define("img-hvae", ImgHvae);
}

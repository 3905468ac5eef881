/** What a page imports: functions that decode, and the element `<img-hvae>`. */

export * from "./decode.ts";
export { ImgHvae } from "./element.ts";

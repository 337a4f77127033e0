// Owns the picture of the sound: a column each hundredth of a second, newest at the right, and the
// words over it where they were said.

const COLUMN = 0.01; // seconds
const COLUMNS = 800, ROWS = 160;
const SIZE = 512; // samples of a column, after resampling to RATE
const RATE = 16000;
const FLOOR = -95, CEILING = -25; // decibels that are black and white

export class Spectrogram {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", {willReadFrequently: false});
    this.picture = document.createElement("canvas");
    this.picture.width = COLUMNS;
    this.picture.height = ROWS;
    this.window = Float32Array.from({length: SIZE}, (_, i) =>
      0.5 - 0.5 * Math.cos((2 * Math.PI * i) / SIZE));
    this.begin(RATE);
    // A dot of the canvas is one of the screen, so that words are sharp at every width.
    new ResizeObserver(() => this.fit()).observe(canvas);
  }

  fit() {
    const {width, height} = this.canvas.getBoundingClientRect();
    this.canvas.width = Math.max(1, Math.round(width * devicePixelRatio));
    this.canvas.height = Math.max(1, Math.round(height * devicePixelRatio));
    this.draw();
  }

  get span() {
    return COLUMNS * COLUMN;
  }

  // Begin another stream of so many samples a second.
  begin(rate) {
    this.step = rate / RATE;
    this.rest = new Float32Array(0);
    this.seconds = 0;
    this.words = [];
    const context = this.picture.getContext("2d");
    context.fillStyle = "#0b1220";
    context.fillRect(0, 0, this.picture.width, this.picture.height);
    this.draw();
  }

  push(samples) {
    const all = new Float32Array(this.rest.length + samples.length);
    all.set(this.rest);
    all.set(samples, this.rest.length);
    const hop = Math.round(RATE * COLUMN * this.step), length = Math.ceil(SIZE * this.step);
    const columns = Math.max(0, Math.floor((all.length - length) / hop) + 1);
    if (columns > 0) {
      const context = this.picture.getContext("2d");
      context.drawImage(this.picture, -columns, 0);
      for (let column = 0; column < columns; column++) {
        this.column(context, this.picture.width - columns + column, all, column * hop);
      }
    }
    this.rest = all.slice(columns * hop);
    this.seconds += columns * COLUMN;
    this.draw();
  }

  word(text, start, end, accepted) {
    this.words.push({text, start, end, accepted});
    this.words = this.words.filter((one) => one.end > this.seconds - this.span);
    this.draw();
  }

  column(context, x, samples, begin) {
    const real = new Float32Array(SIZE), imaginary = new Float32Array(SIZE);
    for (let i = 0; i < SIZE; i++) {
      real[i] = this.window[i] * (samples[begin + Math.round(i * this.step)] ?? 0);
    }
    transform(real, imaginary);
    const height = this.picture.height, image = context.createImageData(1, height);
    for (let y = 0; y < height; y++) {
      const bin = Math.round(((height - 1 - y) * (SIZE / 2 - 1)) / (height - 1));
      const power = (real[bin] ** 2 + imaginary[bin] ** 2) / SIZE ** 2;
      const level = (10 * Math.log10(power + 1e-12) - FLOOR) / (CEILING - FLOOR);
      const value = Math.max(0, Math.min(1, level));
      image.data.set([255 * value ** 1.5, 60 + 190 * value ** 2, 80 + 150 * value, 255], 4 * y);
    }
    context.putImageData(image, x, 0);
  }

  draw() {
    const {context, canvas} = this, dot = devicePixelRatio;
    context.drawImage(this.picture, 0, 0, canvas.width, canvas.height);
    context.font = `${16 * dot}px system-ui, sans-serif`;
    context.textBaseline = "top";
    const second = canvas.width / this.span;
    for (const {text, start, end, accepted} of this.words) {
      const left = canvas.width - (this.seconds - start) * second;
      context.fillStyle = accepted ? "rgba(120, 220, 150, .25)" : "rgba(255, 150, 140, .25)";
      context.fillRect(left, 0, Math.max(2, (end - start) * second), canvas.height);
      context.fillStyle = "rgba(0, 0, 0, .75)";
      context.fillRect(left, 2 * dot, context.measureText(text).width + 6 * dot, 22 * dot);
      context.fillStyle = "#ffffff";
      context.fillText(text, left + 3 * dot, 4 * dot);
    }
  }
}

// The discrete Fourier transform in place (Cooley and Tukey 1965); the length is a power of two.
export function transform(real, imaginary) {
  const count = real.length;
  for (let i = 1, j = 0; i < count; i++) {
    let bit = count >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [real[i], real[j]] = [real[j], real[i]];
      [imaginary[i], imaginary[j]] = [imaginary[j], imaginary[i]];
    }
  }
  for (let length = 2; length <= count; length *= 2) {
    const angle = (-2 * Math.PI) / length;
    for (let k = 0; k < length / 2; k++) {
      const cosine = Math.cos(angle * k), sine = Math.sin(angle * k);
      for (let even = k; even < count; even += length) {
        const odd = even + length / 2;
        const r = real[odd] * cosine - imaginary[odd] * sine;
        const i = real[odd] * sine + imaginary[odd] * cosine;
        real[odd] = real[even] - r;
        imaginary[odd] = imaginary[even] - i;
        real[even] += r;
        imaginary[even] += i;
      }
    }
  }
}

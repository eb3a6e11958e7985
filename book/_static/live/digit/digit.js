/* The first block of a trained network on a drawn image: convolution, branch, shortcut, sum. */
(() => {
  const live = window.companionLive;
  const words = window.companionWords.digit;
  const address = document.currentScript.src;
  const IMAGE = 28;
  const SIDE = 14; // the stem halves the image
  const CHANNELS = 16;
  const LEVELS = 8;
  const KIB = 29; // of kernels.js
  const FULL = 4; // the value of the fullest colour
  const EPS = 1e-5;

  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  /* One array after another, in the order in which the network uses them. */
  function unpack({ weights, digit, channel }) {
    const all = new Float32Array(bytes(weights).buffer);
    let from = 0;
    const next = (length) => all.subarray(from, (from += length));
    const layer = (inputs, size) => ({
      inputs, size, kernel: next(CHANNELS * inputs * size * size),
      weight: next(CHANNELS), bias: next(CHANNELS), mean: next(CHANNELS), variance: next(CHANNELS),
    });
    return {
      channel, stem: layer(1, 5), first: layer(CHANNELS, 3), second: layer(CHANNELS, 3),
      digit: Float64Array.from(bytes(digit), (v) => v / 255),
    };
  }

  /* (inputs, side, side) to (16, side / stride, side / stride), padded with zeros. */
  function convolve(x, side, { inputs, size, kernel }, stride) {
    const out = side / stride;
    const pad = (size - 1) / 2;
    const y = new Float64Array(CHANNELS * out * out);
    for (let o = 0; o < CHANNELS; o++) {
      for (let i = 0; i < inputs; i++) {
        for (let u = 0; u < size; u++) {
          for (let v = 0; v < size; v++) {
            const w = kernel[((o * inputs + i) * size + u) * size + v];
            for (let r = 0; r < out; r++) {
              const row = r * stride + u - pad;
              if (row < 0 || row >= side) continue;
              for (let c = 0; c < out; c++) {
                const column = c * stride + v - pad;
                if (column < 0 || column >= side) continue;
                y[(o * out + r) * out + c] += w * x[(i * side + row) * side + column];
              }
            }
          }
        }
      }
    }
    return y;
  }
  /* With the averages of training, as a network does when it predicts. */
  function norm(x, { weight, bias, mean, variance }) {
    const each = x.length / CHANNELS;
    return x.map((value, at) => {
      const c = Math.floor(at / each);
      return (weight[c] * (value - mean[c])) / Math.sqrt(variance[c] + EPS) + bias[c];
    });
  }
  const relu = (x) => x.map((value) => Math.max(value, 0));

  function steps(pixels, { stem, first, second }, shortcut = true) {
    const x = relu(norm(convolve(pixels, IMAGE, stem, 2), stem));
    const convolution = convolve(x, SIDE, first, 1);
    const inner = relu(norm(convolution, first));
    const branch = norm(convolve(inner, SIDE, second, 1), second);
    const carried = shortcut ? x : new Float64Array(x.length);
    const sum = branch.map((value, at) => value + carried[at]);
    return { x, convolution, branch, carried, sum, output: relu(sum) };
  }

  /* Where a channel, counted from 1, has its largest value. */
  function strongest(x, channel) {
    const values = x.subarray((channel - 1) * SIDE * SIDE, channel * SIDE * SIDE);
    return values.indexOf(Math.max(...values));
  }

  /* Runs of equal level become one rectangle, all of a level one path. */
  function paint(map, values, side, full, look = (v) => (v > 0 ? "plus" : "minus")) {
    const paths = {};
    for (let r = 0; r < side; r++) {
      for (let c = 0; c < side; ) {
        const key = (at) => {
          const v = values[r * side + at];
          const level = Math.min(LEVELS, Math.round((Math.abs(v) / full) * LEVELS));
          return level && `${look(v)} ${level}`;
        };
        const [here, from] = [key(c), c];
        while (c < side && key(c) === here) c++;
        if (here) paths[here] = `${paths[here] || ""}M${from} ${r}h${c - from}v1h${from - c}z`;
      }
    }
    map.replaceChildren(...Object.keys(paths).sort().map((key) => {
      const [kind, level] = key.split(" ");
      return live.svg("path", { class: `live-${kind}`, "fill-opacity": level / LEVELS, d: paths[key] });
    }));
  }

  /* As a still picture it is one image for a screen reader, and nothing in it takes the focus. */
  function build(kernels, still = false) {
    const pixels = Float64Array.from(kernels.digit);
    const start = strongest(steps(pixels, kernels).x, kernels.channel);
    const cursor = { row: 2 * Math.floor(start / SIDE), column: 2 * (start % SIDE) };
    const names = ["pad", "convolution", "branch", "carried", "sum", "output"];
    const maps = {};
    const figures = names.map((name) => {
      const side = name === "pad" ? IMAGE : SIDE;
      const content = live.svg("g", { "shape-rendering": "crispEdges" });
      const mark = live.svg("rect", { class: "live-cursor", width: 1, height: 1 });
      const node = live.svg("svg", { viewBox: `0 0 ${side} ${side}`, "aria-hidden": "true", class: "live-map" }, content, mark);
      const caption = live.html("div", {}, words[name]);
      maps[name] = { node, content, mark, caption, side };
      return live.html("figure", {}, node, caption);
    });
    const pad = maps.pad.node;
    const shown = live.html("div", { class: "live-maps", role: still ? "img" : "group" }, ...figures);
    const says = live.html("p", { class: "live-says", "aria-live": "polite" });
    const channel = live.slider(
      { id: "live-digit-channel", label: words.channel, min: 1, max: CHANNELS, step: 1, value: kernels.channel }, draw);
    const shortcut = live.html("input", { type: "checkbox", id: "live-digit-shortcut", checked: "", autocomplete: "off" });
    const own = live.html("button", { type: "button", class: "live-load" }, words.draw);
    const example = live.html("button", { type: "button" }, words.example);

    function draw() {
      const c = channel.value - 1;
      const found = steps(pixels, kernels, shortcut.checked);
      const part = (name) => found[name].subarray(c * SIDE * SIDE, (c + 1) * SIDE * SIDE);
      paint(maps.pad.content, pixels, IMAGE, 1, () => "ink");
      for (const name of names.slice(1)) paint(maps[name].content, part(name), SIDE, FULL);
      maps.sum.caption.textContent = shortcut.checked ? words.sum : words.branchAlone;
      const [row, column] = [cursor.row >> 1, cursor.column >> 1];
      for (const { mark, side } of Object.values(maps)) {
        mark.setAttribute("x", side === IMAGE ? cursor.column : column);
        mark.setAttribute("y", side === IMAGE ? cursor.row : row);
      }
      const value = (name) => live.fixed(part(name)[row * SIDE + column], 2);
      const sentence = live.fill(shortcut.checked ? words.says : words.plain, {
        channel: c + 1, row: row + 1, column: column + 1, carried: value("carried"),
        branch: value("branch"), sum: value("sum"), output: value("output"),
      });
      says.textContent = sentence;
      shown.setAttribute("aria-label", live.fill(words.shows, { sentence }));
      channel.say(sentence);
    }

    /* A soft brush, since the digits that the network knows are soft at their edges. */
    function dab(row, column, ink) {
      for (let dr = -1; dr <= 1; dr++) {
        for (let dc = -1; dc <= 1; dc++) {
          const [r, c] = [row + dr, column + dc];
          if (r < 0 || r >= IMAGE || c < 0 || c >= IMAGE) continue;
          const soft = [1, 0.6, 0.25][Math.abs(dr) + Math.abs(dc)];
          const at = r * IMAGE + c;
          pixels[at] = ink ? Math.max(pixels[at], soft) : Math.min(pixels[at], 1 - soft);
        }
      }
    }
    const place = (map, event) => {
      const box = map.node.getBoundingClientRect();
      const cell = (at, length) => Math.min(IMAGE - 1, Math.max(0, Math.floor((at / length) * IMAGE)));
      return [cell(event.clientY - box.top, box.height), cell(event.clientX - box.left, box.width)];
    };
    const go = ([row, column]) => Object.assign(cursor, { row, column });
    /* From the last place to this one: a pointer is faster than its events. */
    function stroke(to) {
      const far = Math.max(Math.abs(to[0] - cursor.row), Math.abs(to[1] - cursor.column), 1);
      const [row, column] = [cursor.row, cursor.column];
      for (let i = 1; i <= far; i++) {
        dab(Math.round(row + ((to[0] - row) * i) / far), Math.round(column + ((to[1] - column) * i) / far), true);
      }
      go(to);
    }
    pad.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      pad.setPointerCapture(event.pointerId);
      go(place(maps.pad, event));
      dab(cursor.row, cursor.column, true);
      draw();
    });
    pad.addEventListener("pointermove", (event) => {
      if (!pad.hasPointerCapture(event.pointerId)) return;
      stroke(place(maps.pad, event));
      draw();
    });
    for (const name of names.slice(1)) {
      for (const kind of ["pointermove", "pointerdown"]) {
        maps[name].node.addEventListener(kind, (event) => { go(place(maps[name], event)); draw(); });
      }
    }
    pad.addEventListener("keydown", (event) => {
      const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      const ink = { " ": true, Enter: true, Backspace: false, Delete: false }[event.key];
      if (move) {
        const within = (v) => Math.min(IMAGE - 1, Math.max(0, v));
        go([within(cursor.row + move[0]), within(cursor.column + move[1])]);
      } else if (ink !== undefined) dab(cursor.row, cursor.column, ink);
      else return;
      event.preventDefault();
      draw();
    });
    own.addEventListener("click", () => { pixels.fill(0); draw(); pad.focus(); });
    example.addEventListener("click", () => { pixels.set(kernels.digit); draw(); });
    shortcut.addEventListener("change", draw);
    if (!still) {
      const control = { tabindex: 0, role: "application", "aria-label": words.keys };
      for (const [name, value] of Object.entries(control)) pad.setAttribute(name, value);
      pad.removeAttribute("aria-hidden");
    }
    pad.classList.add("live-pad");
    draw();
    const controls = live.html("fieldset", { class: "live-controls" },
      live.html("div", { class: "live-buttons" }, own, live.html("span", {}, live.fill(words.size, { size: KIB })), example),
      channel.node, live.html("label", { class: "live-check" }, shortcut, words.shortcut));
    return [shown, says, controls];
  }

  function open(place) {
    place.replaceChildren(...build(unpack(window.companionKernels)));
    place.classList.add("live-on");
  }
  /* The still picture stays until somebody wants to draw: only then are the kernels loaded. */
  function wait(place) {
    const controls = place.querySelector(".live-controls");
    const wanted = controls.querySelector(".live-load");
    controls.disabled = false;
    for (const control of controls.querySelectorAll("input, button")) control.disabled = control !== wanted;
    place.querySelector(".live-pad").addEventListener("pointerdown", () => wanted.click());
    wanted.addEventListener("click", () => {
      wanted.disabled = true;
      const script = live.html("script", { src: new URL("kernels.js", address) });
      script.addEventListener("load", () => {
        open(place);
        place.querySelector(".live-load").click();
      });
      script.addEventListener("error", () => {
        wanted.disabled = false;
        place.querySelector(".live-says").textContent = words.failed;
      });
      document.head.append(script);
    });
    place.classList.add("live-on");
  }

  live.digit = { unpack, steps, build, open };
  document.querySelectorAll('[data-live="digit"]').forEach(wait);
})();

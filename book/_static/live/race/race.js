/* The race on the page: controls, the worker that trains, and a drawing at most once a frame. */
(() => {
  "use strict";
  const STEPS = 300, WIDTH = 16, MEAN = 10, GUESS = Math.log(10), PRESETS = {
    shallow: {depth: 4, shortcut: "sum"},
    deep: {depth: 50, shortcut: "none"},
    sum: {depth: 50, shortcut: "sum"},
    scaled: {depth: 50, shortcut: "rezero"},
  };

  function serve(engine, data, steps) { // in the worker
    const pixels = new Uint8Array(8 * 64); // six test images, the drawing, and one to make fours
    [2, 3, 5, 7, 8, 9].forEach((digit, i) => { // the first of each
      const row = data.labels.indexOf(digit, data.train) * 64;
      pixels.set(data.images.subarray(row, row + 64), i * 64);
    });
    let race, run, count, losses, accuracy, timer;
    const report = () => {
      const says = race.says(pixels), gradients = count && race.gradientNorms();
      postMessage({id: run.id, count, losses, accuracy, says, gradients});
      losses = [];
    };
    function advance() { // two steps in 33 ms at most, unless only the end is asked for
      const start = performance.now(), until = run.fast ? steps : Math.min(count + 2, steps);
      while (count < until && performance.now() - start < 30) {
        losses.push(race.step());
        if (++count % 20 === 0) accuracy = race.accuracy();
      }
      if (!run.fast || count === steps) report();
      if (count < steps) timer = setTimeout(advance, run.fast ? 0 : 33 - performance.now() + start);
    }
    onmessage = ({data: {start, go, drawing}}) => {
      clearTimeout(timer);
      if (start) {
        [run, count, losses] = [start, 0, []];
        race = engine.race(run, data);
        accuracy = race.accuracy();
      }
      if (drawing) pixels.set(drawing, 6 * 64);
      if (race && !start && drawing) report();
      if (race && go && count < steps) timer = setTimeout(advance);
    };
  }

  function worker() {
    const {makeRaceEngine, raceDecode, raceDigits} = window, text = JSON.stringify(raceDigits);
    const source = `(${serve})((${makeRaceEngine})(),(${raceDecode})(${text}),${STEPS})`;
    return new Worker(URL.createObjectURL(new Blob([source], {type: "text/javascript"})));
  }

  const raised = (n) => String(n).replace(/./g, (c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]));
  const power = (e) => (e < -2 || e > 1 ? `10${raised(e)}` : String(10 ** e));
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);

  /* Curves on a logarithmic axis; what is written beside them is HTML, so that it never shrinks. */
  function draw(chart, curves, range, across, guess) {
    const all = curves.flat().map((v) => Math.log10(v)).filter(isFinite);
    const low = Math.max(-8, Math.min(range[0], ...all.map(Math.floor)));
    const high = Math.max(range[1], ...all.map(Math.ceil));
    const down = (v) => Math.min(1, Math.max(0, (high - Math.log10(v)) / (high - low)));
    const every = Math.ceil((high - low) / 4), ticks = [];
    for (let e = Math.ceil(low / every) * every; e <= high; e += every) ticks.push(e);
    const y = (v) => Math.round(400 * down(v));
    chart.querySelector(".race-grid").setAttribute("d", ticks.map((e) => `M0 ${y(10 ** e)}h300`).join(""));
    chart.querySelector(".race-ticks").innerHTML = ticks.map((e) =>
      `<span style="top:${100 * down(10 ** e)}%">${power(e)}</span>`).join("");
    if (guess) chart.querySelector(".race-guess").style.top = `${100 * down(guess)}%`;
    ["plain", "residual"].forEach((name, k) => {
      let d = "", at;
      (curves[k] || []).forEach((v, i, {length}) => {
        if (across > 150 && i % 3 && i < length - 1) return; // finer than the eye
        const to = [Math.round((300 * i) / (across - 1)), y(v)];
        d += at ? `l${to[0] - at[0]} ${to[1] - at[1]}`.replace(" -", "-") : `M${to.join(" ")}`;
        at = to;
      });
      chart.querySelector(`.race-${name}`).setAttribute("d", d);
    });
    return down;
  }

  function enliven(root) {
    const words = window.companionWords.race, all = (s) => [...root.querySelectorAll(s)];
    const part = (name) => root.querySelector(`.race-${name}`), says = part("says");
    const calm = matchMedia("(prefers-reduced-motion: reduce)"), strips = {};
    const bitmap = new Uint8Array(32 * 32), pad = part("pad"), ink = pad.getContext("2d");
    let settings = {...PRESETS.scaled, norm: false}, preset = "scaled", seed = 1, id = 0;
    let engine, state, playing = false, seen = false, frame, cursor = 0;
    const percent = (v) => fill(words.percent, {value: Math.round(100 * v)});

    function outcome({losses, accuracy: [plain, residual]}) { // which sentence this run bears out
      const first = losses.at(-1)[0];
      const kind = residual === undefined
        ? plain < 0.6 ? "stuck" : plain < 0.88 ? "slow" : "learned"
        : first > 100 && residual < 0.5 ? "exploded"
        : Math.max(plain, residual) < 0.5 ? "neither"
        : plain < 0.6 && residual > 0.88 ? "learns"
        : residual - plain > 0.05 ? "ahead" : plain - residual > 0.05 ? "behind" : "level";
      const values = {layers: settings.depth, plain: percent(plain), residual: percent(residual)};
      return fill(words.outcome[kind], {...values, loss: `10${raised(Math.floor(Math.log10(first)))}`});
    }

    function show() {
      frame = 0;
      const {losses, count, accuracy, gradients, says: said} = state;
      const smooth = losses.map((values) => values.map((_, i) => {
        const last = values.slice(Math.max(0, i + 1 - MEAN), i + 1);
        return last.reduce((a, b) => a + b) / last.length;
      }));
      const down = draw(part("loss"), smooth, [-2, 1], STEPS, GUESS);
      if (gradients) draw(part("gradients"), gradients, [-3, 0], settings.depth);
      const ends = smooth.map((values) => 100 * down(values.at(-1)));
      if (ends.length > 1 && Math.abs(ends[0] - ends[1]) < 18) { // two labels, not one upon the other
        const middle = (ends[0] + ends[1]) / 2, sign = ends[0] < ends[1] ? -9 : 9;
        [ends[0], ends[1]] = [middle + sign, middle - sign];
      }
      all(".race-end").forEach((label, k) => {
        label.hidden = ends[k] === undefined;
        label.style.top = `${Math.min(94, ends[k])}%`;
        label.querySelector("b").textContent = accuracy[k] === undefined ? "" : percent(accuracy[k]);
      });
      all("tbody tr").forEach((row, k) => [...row.querySelectorAll("td")].forEach((cell, i) => {
        const none = !said[k] || (i === 6 && !bitmap.some(Boolean));
        cell.textContent = none ? "–" : said[k][i];
        cell.className = none || i === 6 || cell.textContent === root.querySelectorAll("th img")[i].alt
          ? "" : "race-wrong";
      }));
      part("count").textContent = fill(words.count, {step: count, steps: STEPS});
      if (count < STEPS || state.told) return;
      state.told = true;
      playing = false;
      says.textContent = outcome(state);
      part("loss").setAttribute("aria-label", fill(words.chart, {layers: settings.depth}));
      const strip = strips[JSON.stringify(settings)] ||= [];
      strip.push({seed, accuracy});
      if (strip.length > 10) strip.shift();
      label();
    }

    function label() { // what the controls show
      part("play").textContent = playing ? words.pause : state && !state.told ? words.go : words.play;
      part("seed").textContent = fill(words.seed, {seed});
      part("depth").value = part("layers").textContent = settings.depth;
      all("[name=race-shortcut]").forEach((input) => { input.checked = input.value === settings.shortcut; });
      part("norm").checked = settings.norm;
      all("[data-preset]").forEach((b) => b.setAttribute("aria-pressed", b.dataset.preset === preset));
      const strip = strips[JSON.stringify(settings)] || [];
      part("strip").setAttribute("aria-label", strip.map(({seed, accuracy: [plain, residual]}) =>
        fill(residual === undefined ? words.alone : words.both,
          {seed, plain: percent(plain), residual: percent(residual)})).join(" ") || words.none);
      all(".race-strip i").forEach((box, i) => {
        box.innerHTML = (strip[i]?.accuracy || []).map((v, k) =>
          `<u class="race-mark${k}" style="bottom:${80 * v}%"></u>`).join("");
      });
    }

    const tell = (message) => engine?.postMessage({go: playing && seen && !document.hidden, ...message});

    function start() {
      if (!engine) {
        engine = worker();
        engine.onmessage = ({data}) => {
          if (data.id !== id) return;
          for (const pair of data.losses) pair.forEach((v, k) => state.losses[k].push(v));
          state = {...state, ...data, losses: state.losses};
          frame ||= requestAnimationFrame(show);
        };
      }
      playing = true;
      state = {losses: settings.shortcut === "none" ? [[]] : [[], []]};
      says.textContent = fill(words.look[preset || "own"], {layers: settings.depth});
      tell({start: {id: ++id, fast: calm.matches, width: WIDTH, seed, ...settings}, drawing: drawn()});
      label();
    }

    function change(next, name) {
      [settings, preset] = [{...settings, ...next}, name];
      start();
    }

    function toggle() {
      if (!state || state.told) return start();
      playing = !playing;
      tell();
      label();
    }

    // As the data were made: of 32 x 32 points, each pixel counts the dark ones in 4 x 4.
    const drawn = () => Uint8Array.from({length: 64}, (_, i) => {
      let dark = 0;
      for (let k = 0; k < 16; k++) dark += bitmap[((i >> 3) * 4 + (k >> 2)) * 32 + (i & 7) * 4 + (k & 3)];
      return dark;
    });

    function drew() {
      const image = ink.createImageData(8, 8);
      drawn().forEach((v, i) => { image.data[4 * i + 3] = Math.round((255 * v) / 16); });
      ink.putImageData(image, 0, 0);
      part("cursor").style.cssText = `left:${12.5 * (cursor & 7)}%;top:${12.5 * (cursor >> 3)}%`;
      tell({drawing: drawn()});
    }

    function brush({offsetX, offsetY}) {
      const x = (offsetX * 32) / pad.clientWidth, y = (offsetY * 32) / pad.clientHeight;
      bitmap.forEach((_, i) => {
        if (Math.hypot((i & 31) + 0.5 - x, (i >> 5) + 0.5 - y) < 2.6) bitmap[i] = 1;
      });
      drew();
    }

    function key(event) {
      const move = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -8, ArrowDown: 8}[event.key];
      const paint = event.key === " " || event.key === "Enter";
      if (move && cursor + move >= 0 && cursor + move < 64) cursor += move;
      else if (paint) {
        const value = drawn()[cursor] > 8 ? 0 : 1;
        bitmap.forEach((_, i) => {
          if (((i >> 7) * 8 + ((i & 31) >> 2)) === cursor) bitmap[i] = value;
        });
      } else if (event.key === "Delete") bitmap.fill(0);
      if (!move && !paint && event.key !== "Delete") return;
      event.preventDefault();
      drew();
    }

    pad.addEventListener("pointerdown", (event) => {
      pad.setPointerCapture(event.pointerId);
      brush(event);
    });
    pad.addEventListener("pointermove", (event) => event.buttons && brush(event));
    pad.addEventListener("keydown", key);
    part("clear").addEventListener("click", () => drew(bitmap.fill(0)));
    part("play").addEventListener("click", toggle);
    part("seed-next").addEventListener("click", () => start(seed++));
    part("depth").addEventListener("input", ({target}) => { part("layers").textContent = target.value; });
    part("depth").addEventListener("change", ({target}) => change({depth: +target.value}));
    part("norm").addEventListener("change", ({target}) => change({norm: target.checked}));
    all("[name=race-shortcut]").forEach((input) =>
      input.addEventListener("change", () => change({shortcut: input.value})));
    all("[data-preset]").forEach((button) => button.addEventListener("click", () =>
      change({norm: false, ...PRESETS[button.dataset.preset]}, button.dataset.preset)));
    document.addEventListener("visibilitychange", () => tell());
    // It begins by itself once half of the curves is in view, and rests while none of it all is.
    const view = new IntersectionObserver((entries) => {
      for (const {target, isIntersecting, intersectionRatio} of entries) {
        if (target === root) seen = isIntersecting;
        else if (!state && intersectionRatio >= 0.5 && !calm.matches) start();
      }
      tell();
    }, {threshold: [0, 0.5]});
    view.observe(root);
    view.observe(part("loss"));
    root.classList.add("race-on");
    label();
  }

  document.querySelectorAll("[data-live=race]").forEach(enliven);
})();

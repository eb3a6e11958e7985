/* Two trained networks side by side: the reader takes blocks out of both, or lets two change places,
   and reads what is left on all test digits and on one. */
(() => {
  const live = window.companionLive;
  const words = window.companionWords.lesions;
  const { html, svg, fill } = live;
  const ARMS = ["residual", "plain"];
  const COLUMN = 100;

  /* The chain as a picture: `order` by place, `out` the blocks that are gone. */
  function chain(order, out, residual) {
    const width = COLUMN * order.length;
    const look = `live-line live-${residual ? "residual" : "plain"}`;
    const line = residual ? 74 : 26;
    const picture = svg("svg", { viewBox: `0 0 ${width} ${residual ? 84 : 52}`, "aria-hidden": "true" });
    let path = residual ? `M0 ${line}H${width}` : `M0 ${line}`;
    order.forEach((block, place) => {
      const [from, to] = [COLUMN * place + 8, COLUMN * place + 92];
      const gone = out.has(block);
      const box = { x: from + 22, y: 10, width: 40, height: 32, rx: 6 };
      picture.append(svg("rect", { class: `lesions-box ${gone ? "lesions-gone" : look}`, ...box }));
      if (!residual && !gone) path += `H${from + 22}M${from + 62} ${line}`;
      if (residual && !gone) {
        path += `M${from} ${line}C${from} 34 ${from + 6} 26 ${from + 22} 26M${from + 62} 26C${to - 6} 26 ${to} 34 ${to} ${line - 7}`;
        picture.append(svg("circle", { class: `lesions-sum ${look}`, cx: to, cy: line, r: 7 }));
      }
    });
    if (!residual) path += `H${width}`;
    picture.prepend(svg("path", { class: look, d: path }));
    return picture;
  }

  /* The ten logits of one digit as bars from zero; the largest is the answer. */
  function logitBars(values, label, residual) {
    const [low, high] = [Math.min(0, ...values), Math.max(0, ...values)];
    const y = (v) => 8 + (84 * (high - v)) / (high - low || 1);
    const picture = svg("svg", { viewBox: "0 0 320 124", role: "img" });
    const answer = window.companionLive.models.largest(values);
    values.forEach((value, i) => {
      const top = Math.min(y(value), y(0));
      const bar = { x: 32 * i + 6, y: top.toFixed(1), width: 20, height: Math.abs(y(value) - y(0)).toFixed(1) };
      picture.append(svg("rect", { class: `lesions-bar live-${residual ? "residual" : "plain"}`, ...bar }));
      const kind = i === answer ? (answer === label ? "lesions-right" : "lesions-wrong") : "";
      picture.append(svg("text", { class: kind, x: 32 * i + 16, y: 116, "text-anchor": "middle" }, String(i)));
      if (kind) picture.append(svg("path", { class: `lesions-under ${kind}`, d: `M${32 * i + 8} 121h16` }));
    });
    picture.append(svg("path", { class: "live-axis", d: `M0 ${y(0).toFixed(1)}H320` }));
    picture.setAttribute("aria-label", fill(words.logits, { values: Array.from(values, (v) => live.fixed(v, 1)).join("; ") }));
    return picture;
  }

  function drawnDigit(image) {
    const picture = svg("svg", { viewBox: "0 0 8 8", "aria-hidden": "true" });
    image.forEach((value, i) => {
      if (!value) return;
      const at = { x: i % 8, y: Math.floor(i / 8), width: 1.02, height: 1.02, "fill-opacity": value.toFixed(3) };
      picture.append(svg("rect", at));
    });
    return picture;
  }

  function figure(content) {
    const { network, digits, answers } = window.companionLive.lesions;
    const nets = ARMS.map((arm) => network(content[arm], arm === "residual"));
    const all = digits(content);
    const count = nets[0].blocks;
    const start = Array.from({ length: count }, (_, i) => i);
    let order = [...start];
    const out = new Set();
    let at = 0;
    let said = [];

    const board = html("div", { class: "lesions-board", role: "group", "aria-label": words.blocks });
    const says = html("p", { class: "live-says", role: "status" });
    const one = html("p", { class: "lesions-one", role: "status" });
    const results = html("div", { class: "lesions-results", "aria-hidden": "true" });
    const [shown, bars] = [html("div", { class: "lesions-digit" }), html("div", { class: "lesions-bars" })];
    const buttons = start.map((i) => {
      const button = html("button", { type: "button", class: "lesions-block" }, String(i + 1));
      button.setAttribute("aria-label", fill(words.takeOut, { block: i + 1 }));
      button.addEventListener("click", () => {
        if (!out.delete(i)) out.add(i);
        compute();
      });
      return button;
    });
    const press = (label, done) => {
      const button = html("button", { type: "button" }, label);
      button.addEventListener("click", done);
      return button;
    };
    const places = [0, 1].map((which) => {
      const options = start.map((i) => html("option", { value: i }, String(i + 1)));
      const select = html("select", { autocomplete: "off" }, ...options);
      select.value = [2, 5][which];
      return select;
    });
    const swap = press(words.swap, () => {
      const [a, b] = places.map((select) => order.indexOf(Number(select.value)));
      [order[a], order[b]] = [order[b], order[a]];
      compute();
    });
    const back = press(words.back, () => {
      order = [...start];
      out.clear();
      compute();
    });
    const turn = (step) => () => {
      at = (at + step + all.length) % all.length;
      digit();
    };
    const mistake = press(words.mistake, () => {
      const next = all.findIndex((_, i) => said[0][(at + 1 + i) % all.length] !== all[(at + 1 + i) % all.length].label);
      if (next >= 0) turn(next + 1)();
    });

    const kept = () => order.filter((block) => !out.has(block));

    function digit() {
      const { image, label } = all[at];
      const logits = nets.map((net) => net.logits(image, kept()));
      shown.replaceChildren(drawnDigit(image));
      bars.replaceChildren(...ARMS.map((arm, i) => html("figure", {},
        html("figcaption", {}, words[arm]), logitBars(logits[i], label, arm === "residual"))));
      const [residual, plain] = logits.map(window.companionLive.models.largest);
      one.textContent = fill(words.one, { digit: at + 1, digits: all.length, label, residual, plain });
    }

    function compute() {
      buttons.forEach((button, block) => button.setAttribute("aria-pressed", String(out.has(block))));
      const [above, below] = ARMS.map((arm) => chain(order, out, arm === "residual"));
      board.querySelectorAll("svg").forEach((old) => old.remove());
      board.append(above, below);
      const placed = board.querySelectorAll("button"); // moved only where they must: it costs the focus
      if (order.some((block, place) => placed[place] !== buttons[block])) {
        board.prepend(...order.map((block) => buttons[block]));
      }
      said = nets.map((net) => answers(net, all, kept()));
      const right = said.map((given) => given.filter((answer, i) => answer === all[i].label).length);
      results.replaceChildren(...ARMS.map((arm, i) => {
        const bar = html("span", { class: `lesions-bar live-${arm}` });
        bar.style.width = `${(100 * right[i]) / all.length}%`;
        const percent = live.fixed((100 * right[i]) / all.length, 1);
        return html("div", {}, html("span", {}, words[arm]), html("span", { class: "lesions-track" }, bar),
          html("b", {}, fill(words.percent, { percent })));
      }));
      const moved = order.some((block, place) => block !== place);
      const state = moved ? (out.size ? "both" : "moved") : out.size ? "out" : "whole";
      says.textContent = fill(words.says[state], {
        blocks: [...out].sort((a, b) => a - b).map((i) => i + 1).join(", "),
        order: order.map((i) => i + 1).join(", "),
        digits: all.length, residual: right[0], plain: right[1],
      });
      mistake.disabled = right[0] === all.length;
      digit();
    }

    board.append(...buttons);
    compute();
    const whole = ARMS.map((_, i) => said[i].filter((answer, n) => answer === all[n].label).length);
    const float = ARMS.map((arm) => Math.round(content.float[arm] * all.length));
    return [
      board,
      html("div", { class: "live-buttons models-row" },
        html("label", {}, html("span", {}, words.first), places[0]),
        html("label", {}, html("span", {}, words.second), places[1]), swap, back),
      results, says,
      html("div", { class: "lesions-reading" }, shown, bars),
      html("div", { class: "live-buttons models-row" },
        press(words.previous, turn(-1)), press(words.next, turn(1)), mistake),
      one,
      html("p", { class: "lesions-note" }, fill(words.bits, {
        digits: all.length, residual: whole[0], plain: whole[1], residualFloat: float[0], plainFloat: float[1],
      })),
    ];
  }

  for (const place of document.querySelectorAll('[data-live="lesions"]')) {
    const { load, offer } = window.companionLive.models;
    const size = fill(words.size, { size: place.dataset.kib });
    place.append(offer({ label: words.load, size, failed: words.failed }, () =>
      load("lesions", "lesions/weights.js").then((content) => {
        place.replaceChildren(...figure(content));
        place.classList.add("live-on");
        place.querySelector("button").focus();
      })));
  }
})();

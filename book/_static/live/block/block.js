/* One block, y = s x + F(x) with F(x) = a tanh(x): its slope is s + F'(x), a stack's the product. */
(() => {
  const live = window.companionLive;
  const words = window.companionWords.block;
  const REACH = 3;

  const branch = (a, x) => a * Math.tanh(x);
  const branchSlope = (a, x) => a / Math.cosh(x) ** 2;
  /* Value and slope of a stack of equal blocks at x; `shortcut` 0 is the plain stack. */
  function stack(a, shortcut, blocks, x) {
    let value = x;
    let slope = 1;
    for (let i = 0; i < blocks; i++) {
      slope *= shortcut + branchSlope(a, value);
      value = shortcut * value + branch(a, value);
    }
    return { value, slope };
  }

  /* The next of 1, 2, 5, 10, ... that holds every value. */
  function reach(values) {
    const largest = Math.max(0.1, ...values.map(Math.abs));
    const unit = 10 ** Math.floor(Math.log10(largest));
    return [1, 2, 5, 10].map((f) => f * unit).find((r) => r >= largest);
  }
  function curve(f) {
    const points = [];
    for (let i = -60; i <= 60; i++) points.push([(i / 60) * REACH, f((i / 60) * REACH)]);
    return points;
  }
  const tangent = (x, value, slope) => {
    const half = 0.8 / Math.hypot(1, slope);
    return [[x - half, value - half * slope], [x + half, value + half * slope]];
  };

  function build() {
    const [left, right] = [live.picture(), live.picture()];
    const shown = live.html("div", { class: "live-panels", role: "img" }, left, right);
    const says = live.html("p", { class: "live-says" });
    const set = (id, min, max, step, value, format) => live.slider(
      { id: `live-block-${id}`, label: words[id], min, max, step, value, format }, draw);
    const two = (v) => live.fixed(v, 2);
    const scale = set("scale", -2, 2, 0.05, 0.5, two);
    const shortcut = set("shortcut", 0, 1, 0.05, 1, two);
    const point = set("point", -REACH, REACH, 0.05, 1, two);
    const blocks = set("blocks", 1, 30, 1, 10);
    let toValue;

    function draw() {
      const [a, s, at, L] = [scale, shortcut, point, blocks].map((slider) => slider.value);
      const x = { range: [-REACH, REACH], ticks: live.ticks(-REACH, REACH, 6), label: words.input };
      const slopes = { branch: branchSlope(a, at), shortcut: s, sum: s + branchSlope(a, at) };
      const f = branch(a, at);
      const sum = s * at + f;
      toValue = live.chart(left, {
        title: words.one, x,
        y: { range: [-5, 5], ticks: [-4, -2, 0, 2, 4] },
        marks: [
          { look: "live-soft", points: curve((v) => s * v) },
          { look: "live-plain", points: curve((v) => branch(a, v)) },
          { look: "live-residual", points: curve((v) => s * v + branch(a, v)) },
          { look: "live-plain live-tangent", points: tangent(at, f, slopes.branch) },
          { look: "live-residual live-tangent", points: tangent(at, sum, slopes.sum) },
          { kind: "dot", look: "live-plain", points: [[at, f]] },
          { kind: "dot", look: "live-residual", points: [[at, sum]] },
        ],
      });
      const plain = stack(a, 0, L, at);
      const residual = stack(a, s, L, at);
      const curves = [0, s].map((carried) => curve((v) => stack(a, carried, L, v).value));
      const most = reach(curves.flat().map(([, v]) => v));
      live.chart(right, {
        title: live.fill(words.many, { blocks: L }), x,
        y: { range: [-most, most], ticks: live.ticks(-most, most, 4) },
        marks: [
          { look: "live-plain", points: curves[0] },
          { look: "live-residual", points: curves[1] },
          { kind: "dot", look: "live-plain", points: [[at, plain.value]] },
          { kind: "dot", look: "live-residual", points: [[at, residual.value]] },
        ],
      });
      const values = (format) => ({
        x: two(at), branch: two(slopes.branch), shortcut: two(s), sum: two(slopes.sum), blocks: L,
        plain: format(plain.slope), residual: format(residual.slope),
      });
      says.textContent = live.fill(words.says, values(live.number));
      const sentence = live.fill(words.says, values(live.spoken));
      shown.setAttribute("aria-label", live.fill(words.shows, { sentence }));
      for (const slider of [scale, shortcut, point, blocks]) slider.say(sentence);
    }
    draw();
    // The point also follows the pointer; a vertical stroke on a phone still scrolls the page.
    const follow = (event) => {
      const at = Math.round(toValue(event.clientX) / 0.05) * 0.05;
      point.set(Math.min(REACH, Math.max(-REACH, at)));
    };
    left.classList.add("live-drag");
    left.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      left.setPointerCapture(event.pointerId);
      follow(event);
    });
    left.addEventListener("pointermove", (event) => {
      if (left.hasPointerCapture(event.pointerId)) follow(event);
    });
    const controls = live.html("fieldset", { class: "live-controls" },
      ...[scale, shortcut, point, blocks].map((slider) => slider.node));
    const legend = live.legend([
      ["live-plain", words.branch], ["live-soft", words.carried], ["live-residual", words.sum]]);
    return [shown, legend, says, controls];
  }

  live.block = { branch, branchSlope, stack };
  live.mount("block", build);
})();

/* A trained translator in the page: type a date, read what it says, and where it looked. */
(() => {
  const live = window.companionLive;
  const words = window.companionWords.dates;
  const { html, fill } = live;
  const { load, offer } = window.companionLive.models;
  const PAUSE = 700; // milliseconds without a key before the answer is spoken

  const percent = (share) => live.fixed(100 * share, 0);
  const rightToLeft = (text) => /[\u0590-\u08ff]/.test(text);

  const offered = (label, kib) => ({ label, size: fill(words.size, { size: kib }), failed: words.failed });

  /* Cells in the order in which they are read: digits run to the right in every script. */
  function laid(row, cells, characters) {
    const turned = rightToLeft(characters.join(""));
    row.dir = turned ? "rtl" : "ltr";
    let run = null;
    cells.forEach((cell, i) => {
      const digit = turned && /[0-9]/.test(characters[i]);
      if (digit && !run) row.append((run = html("span", { dir: "ltr", class: "dates-run" })));
      if (!digit) run = null;
      (run || row).append(cell);
    });
  }

  /* One character under a bar, the share of attention that is on it. */
  function read(character, share) {
    const bar = html("span", { class: "dates-bar" });
    bar.style.height = `${(100 * share).toFixed(1)}%`;
    return html("span", { class: "dates-cell" }, html("span", { class: "dates-shaft" }, bar),
      html("span", { class: "dates-character" }, character === " " ? "\u2423" : character));
  }

  function surely({ character, sure }, right, node) {
    const bar = html("span", { class: "dates-sure" });
    bar.style.width = `${(100 * sure).toFixed(1)}%`;
    node.append(html("span", { class: "dates-character" }, character), bar);
    if (right !== undefined && character !== right) node.classList.add("dates-wrong");
    return node;
  }

  function figure(content, place) {
    const { normalized, translator } = window.companionLive.dates;
    const { task } = content;
    const network = translator(content, task, true);
    let plain = null;
    let result = null;
    let chosen = task.character;
    let speak = 0;

    const input = html("input", {
      type: "text", id: "live-dates-text", autocomplete: "off", autocapitalize: "none", spellcheck: "false",
      dir: "auto", "aria-describedby": "live-dates-says",
    });
    input.value = task.examples.find(([locale]) => locale === task.shown)[1];
    const examples = html("select", { autocomplete: "off" }, html("option", { value: "" }, words.none),
      ...task.examples.map(([locale, text], i) => html("option", { value: i, lang: locale }, `${locale}: ${text}`)));
    const block = live.choice({
      id: "live-dates-block", label: words.block, value: String(task.block),
      options: Array.from({ length: network.blocks }, (_, i) => [String(i + 1), String(i + 1)]),
    }, looks);
    const says = html("p", { class: "live-says", id: "live-dates-says", role: "status" });
    const source = html("div", { class: "dates-row dates-source", role: "img" });
    const said = html("div", { class: "dates-row", role: "group", "aria-label": words.residual });
    const other = html("div", { class: "dates-row", "aria-hidden": "true" });
    const bars = html("p", { class: "dates-looks" });
    const note = html("p", { class: "dates-note" });
    const without = html("div", { class: "dates-answer live-plain", hidden: "" },
      html("span", { class: "dates-arm" }, words.plain), other);

    function looks() {
      const { characters, written } = result;
      source.replaceChildren();
      bars.textContent = "";
      if (!written.length) return;
      const at = Math.min(chosen, written.length - 1);
      const shares = written[at].looks[Number(block.value) - 1];
      const [from, to] = [task.width - characters.length, task.width];
      laid(source, characters.map((character, i) => read(character, shares[from + i])), characters);
      const sum = (a, b) => shares.slice(a, b).reduce((x, y) => x + y, 0);
      bars.textContent = fill(words.bars, {
        character: written[at].character, place: at + 1,
        source: percent(sum(from, to)), output: percent(sum(to)), padding: percent(sum(0, from)),
      });
      source.setAttribute("aria-label", `${words.written}. ${bars.textContent}`);
      said.querySelectorAll("button").forEach((button, i) =>
        button.setAttribute("aria-pressed", String(i === at)));
    }

    /* The answers are drawn at once and spoken after a pause. */
    function translate() {
      const text = normalized(input.value);
      const length = Array.from(text).length;
      const known = task.examples.find(([, example]) => example === text);
      const iso = known && known[2];
      clearTimeout(speak);
      said.replaceChildren();
      other.replaceChildren();
      const start = performance.now();
      const blank = { characters: [], written: [], unknown: 0 };
      const fits = length > 0 && length <= task.width;
      result = fits ? network.translated(text) : blank;
      const spent = performance.now() - start;
      const spelled = (found) => found.written.map(({ character }) => character).join("");
      result.written.forEach((one, i) => {
        const button = surely(one, iso && (iso[i] ?? ""), html("button", { type: "button", class: "dates-cell" }));
        button.setAttribute("aria-label", fill(words.character, {
          character: one.character, place: i + 1, length: result.written.length, sure: percent(one.sure),
        }));
        button.addEventListener("click", () => {
          chosen = i;
          looks();
        });
        said.append(button);
      });
      const control = plain && fits ? plain.translated(text) : blank;
      control.written.forEach((one, i) =>
        other.append(surely(one, iso && (iso[i] ?? ""), html("span", { class: "dates-cell" }))));
      looks();
      const kind = iso === undefined ? "says" : iso === spelled(result) ? "right" : "wrong";
      const sentences = [];
      if (!length) sentences.push(words.empty);
      else if (!fits) sentences.push(fill(words.long, { width: task.width, length }));
      else sentences.push(fill(words[kind], { text, said: spelled(result), iso }));
      if (control.written.length) sentences.push(fill(words.both, { plain: spelled(control) }));
      if (result.unknown) sentences.push(fill(words.unknown, { count: result.unknown }));
      speak = setTimeout(() => (says.textContent = sentences.join(" ")), place.classList.contains("live-on") ? PAUSE : 0);
      note.textContent = fill(words.bits, task.scores);
      if (fits) note.textContent += ` ${fill(words.time, { milliseconds: live.fixed(spent, 0) })}`;
    }

    input.addEventListener("input", () => {
      examples.value = "";
      translate();
    });
    examples.addEventListener("change", () => {
      if (examples.value === "") return;
      [, input.value] = task.examples[Number(examples.value)];
      translate();
    });
    const more = offer(offered(words.loadPlain, place.dataset.kibPlain), () =>
      load("dates.plain", "dates/plain.js").then((packed) => {
        plain = translator(packed, task, false);
        without.hidden = false;
        more.remove();
        translate();
        input.focus();
      }));
    translate();
    return [
      html("div", { class: "dates-ask" },
        html("label", {}, html("span", {}, words.label), input),
        html("label", {}, html("span", {}, words.examples), examples)),
      source,
      html("div", { class: "dates-answer live-residual" }, html("span", { class: "dates-arm" }, words.residual), said),
      without,
      says, bars,
      html("div", { class: "live-buttons models-row" }, block.node), more, note,
    ];
  }

  for (const place of document.querySelectorAll('[data-live="dates"]')) {
    place.append(offer(offered(words.load, place.dataset.kib), () =>
      load("dates.residual", "dates/residual.js").then((content) => {
        place.replaceChildren(...figure(content, place));
        place.classList.add("live-on");
        place.querySelector("input").focus();
      })));
  }
})();

/* The translator of dates: a causal Transformer with its norms after the branches, read token by
   token, so that a token's keys and values are computed once. */
(() => {
  const { unpacked, dense, largest, softmax } = window.companionLive.models;
  const [PAD, START, END, UNKNOWN] = [0, 1, 2, 3];

  /* All terms of this series (Abramowitz and Stegun, 7.1.6) are positive: no digits are lost. */
  function erf(x) {
    const size = Math.abs(x);
    if (size > 6) return Math.sign(x);
    let term = size;
    let sum = size;
    for (let n = 1; term > sum * 1e-17; n++) {
      term *= (2 * size * size) / (2 * n + 1);
      sum += term;
    }
    return (Math.sign(x) * 2 * sum * Math.exp(-size * size)) / Math.sqrt(Math.PI);
  }
  const gelu = (x) => (x * (1 + erf(x / Math.SQRT2))) / 2;

  function layerNorm(x, factor, shift) {
    const mean = x.reduce((a, b) => a + b) / x.length;
    const variance = x.reduce((a, b) => a + (b - mean) ** 2, 0) / x.length;
    const scale = 1 / Math.sqrt(variance + 1e-5);
    return x.map((v, i) => (v - mean) * scale * factor[i] + shift[i]);
  }

  function position(at, channels) {
    const half = channels / 2;
    return Float64Array.from({ length: channels }, (_, i) => {
      const angle = at * Math.exp((-Math.log(1e4) / half) * (i % half));
      return (i < half ? Math.sin(angle) : Math.cos(angle)) / Math.sqrt(half);
    });
  }

  const added = (x, y) => x.map((v, i) => v + y[i]);

  /* A network that has read nothing yet; `read(token)` returns the logits of the target tokens and
     what each block's heads looked at, (heads, tokens so far). */
  function reader(weights, heads, residual) {
    const layer = (name, x) => dense(weights[`${name}.weight`], weights[`${name}.bias`], x);
    const norm = (name, x) => layerNorm(x, weights[`${name}.weight`], weights[`${name}.bias`]);
    const { columns: channels, values: embedding } = weights["embedding.weight"];
    const width = channels / heads;
    const memory = [];
    while (weights[`blocks.${memory.length}.mlp.activation.weight`]) {
      memory.push({ keys: [], values: [] });
    }
    let read = 0;

    function attention(name, x, { keys, values }) {
      const query = layer(`${name}.query`, x);
      keys.push(layer(`${name}.key`, x));
      values.push(layer(`${name}.value`, x));
      const mixed = new Float64Array(channels);
      const looks = [];
      for (let head = 0; head < heads; head++) {
        const [from, to] = [head * width, (head + 1) * width];
        const scores = keys.map((key) => {
          let sum = 0;
          for (let c = from; c < to; c++) sum += query[c] * key[c];
          return sum / Math.sqrt(width);
        });
        const shares = softmax(scores);
        values.forEach((value, t) => {
          for (let c = from; c < to; c++) mixed[c] += shares[t] * value[c];
        });
        looks.push(shares);
      }
      return [layer(`${name}.out`, mixed), looks];
    }

    return function (token) {
      let stream = embedding.slice(token * channels, (token + 1) * channels);
      stream = added(stream, position(read++, channels));
      const join = (branch) => (residual ? added(stream, branch) : branch);
      const looks = memory.map((remembered, i) => {
        const block = `blocks.${i}`;
        const [mixed, seen] = attention(`${block}.attention.branch.function`, stream, remembered);
        stream = norm(`${block}.attention.activation`, join(mixed));
        const inner = layer(`${block}.mlp.branch.function.dense1`, stream).map(gelu);
        const branch = layer(`${block}.mlp.branch.function.dense2`, inner);
        stream = norm(`${block}.mlp.activation`, join(branch));
        return seen;
      });
      return { logits: layer("dense", norm("norm", stream)), looks };
    };
  }

  /* As the network was taught: lower case, NFC, single spaces, no format characters. */
  function normalized(text) {
    const plain = text.toLowerCase().normalize("NFC").replace(/\p{Cf}/gu, "");
    return plain.split(/[\s\u001c-\u001f\u0085]+/u).filter(Boolean).join(" ");
  }

  /* `task` holds the vocabularies: source (each character's token is its place), target, width. */
  function translator(packed, task, residual) {
    const weights = unpacked(packed);
    const tokens = new Map(Array.from(task.source, (character, i) => [character, i + 4]));
    const letters = Array.from(task.target);
    const offset = tokens.size + 4; // where target tokens begin

    function encoded(characters) {
      const known = characters.map((c) => tokens.get(c) ?? UNKNOWN);
      return [...new Array(task.width - known.length).fill(PAD), ...known];
    }

    /* Greedy: each token is the most probable one after those written. Of each character: itself,
       its probability, the logits, and for each block the mean share of its heads by position. */
    function translated(text) {
      const characters = Array.from(normalized(text));
      const read = reader(weights, task.heads, residual);
      encoded(characters).forEach((token) => read(token));
      let token = START;
      const written = [];
      for (let i = 0; i <= task.length; i++) {
        const { logits, looks } = read(offset + token);
        token = largest(logits);
        if (token === END) break;
        const means = looks.map((of) =>
          of[0].map((_, t) => of.reduce((sum, head) => sum + head[t], 0) / of.length));
        const character = letters[token - 4] ?? "";
        written.push({ character, sure: softmax(logits)[token], logits, looks: means });
      }
      return { characters, written, unknown: characters.filter((c) => !tokens.has(c)).length };
    }
    return { translated, blocks: Object.keys(weights).filter((n) => /mlp\.activation\.weight$/.test(n)).length };
  }

  window.companionLive.dates = { erf, normalized, translator };
})();

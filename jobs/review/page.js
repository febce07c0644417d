// Shows one pair at a time and keeps what is said of it. Whatever comes from the data is written as text, never as markup.
(() => {
  "use strict";
  const { head, items, pictures } = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const reasonButtons = [...document.querySelectorAll("[data-reason]")];
  const place = `dualset-review-${head.export_id}`;

  // --- what is kept: words by item, where one is, and the way back

  const empty = () => ({ reviewer: "", at: 0, words: {}, history: [], unsaved: false });
  let storage = null; // localStorage, or this tab's name where a browser gives a file none; the latter is lost with the tab
  try {
    storage = window.localStorage;
    storage.setItem(`${place}-try`, "1");
    storage.removeItem(`${place}-try`);
  } catch (problem) {
    if (!(problem instanceof DOMException)) throw problem;
    storage = null;
    warn("This browser keeps nothing for a file: your work stays in this tab only. Save before you close it.");
  }

  function kept() {
    const text = storage ? storage.getItem(place) : window.name.startsWith(place) ? window.name.slice(place.length) : null;
    try {
      return { ...empty(), ...JSON.parse(text ?? "{}") };
    } catch (problem) {
      if (!(problem instanceof SyntaxError)) throw problem;
      warn("What this browser kept of your work was damaged; start anew, or go on from a saved file (?).");
      return empty();
    }
  }

  function keep() {
    const text = JSON.stringify(state);
    try {
      if (storage) storage.setItem(place, text);
      else window.name = place + text;
    } catch (problem) {
      if (!(problem instanceof DOMException)) throw problem;
      storage = null;
      window.name = place + text;
      warn("This browser's store is full: your work stays in this tab only. Save before you close it.");
    }
  }

  function warn(text) {
    at("warning").textContent = text;
    at("warning").hidden = false;
  }

  let state = kept();
  state.at = Math.min(Math.max(state.at, 0), Math.max(items.length - 1, 0));
  const word = (index = state.at) => state.words[index];
  const judged = () => items.filter((_, index) => word(index)?.verdict).length;

  // --- saying something

  function say(change) {
    const now = word() ?? { verdict: null, reasons: [], note: "" };
    state.history.push([state.at, word() ?? null]);
    state.words[state.at] = { ...now, ...change, closed: false, judged_at: new Date().toISOString() };
    state.unsaved = true;
    show();
  }

  function accept() {
    say({ verdict: "accept", reasons: [] });
    goOn();
  }

  function toggle(reason) {
    const now = word()?.verdict === "reject" ? word().reasons : [];
    const reasons = now.includes(reason) ? now.filter((one) => one !== reason) : [...now, reason];
    say({ verdict: "reject", reasons });
  }

  function undo() {
    const last = state.history.pop();
    if (!last) return;
    const [index, before] = last;
    if (before) state.words[index] = before;
    else delete state.words[index];
    state.unsaved = true;
    state.at = index;
    show();
    at("last").textContent = "Undone.";
  }

  function noted() {
    const text = at("note").value.trim();
    if (text !== (word()?.note ?? "")) say({ note: text });
  }

  // --- going about

  function go(index) {
    if (index < 0 || index >= items.length || index === state.at) return;
    leave();
    state.at = index;
    show();
    at("stage").focus({ preventScroll: true });
  }

  function leave() {
    noted();
    const said = word();
    if (!said?.verdict) return;
    said.closed = true;
    const why = said.reasons.map(label).join(", ");
    const { kept } = items[state.at].facts;
    at("last").textContent = `Number ${state.at + 1}: you ${said.verdict}ed it${why && ` (${why})`}; the filter had ${kept ? "kept" : "rejected"} it.`;
  }

  // The next that is not judged, round the end; when there is none, that is it.
  function goOn() {
    const order = items.map((_, step) => (state.at + 1 + step) % items.length);
    const next = order.find((index) => !word(index)?.verdict);
    if (next !== undefined && next !== state.at) go(next);
    else if (next === undefined) {
      leave();
      show();
      if (!at("done").open) at("done").showModal();
    }
  }

  // --- showing

  const label = (code) => reasonButtons.find((one) => one.dataset.reason === code).lastChild.textContent.trim();
  const element = (name, text, className = "") => Object.assign(document.createElement(name), { textContent: text, className });

  function words(target, parts, name) {
    target.replaceChildren(...parts.flatMap(([text, changed]) => [changed ? element(name, text) : text, " "]));
  }

  function picture(image, one, text) {
    image.src = `data:image/webp;base64,${one.webp}`;
    image.width = one.width;
    image.height = one.height;
    image.alt = text;
  }

  function outlines(svg, one, parts) {
    svg.setAttribute("viewBox", `0 0 ${one.width} ${one.height}`);
    svg.replaceChildren(...parts.filter(({ bit }) => one.outlines[bit]).map(({ bit }) => {
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.setAttribute("d", one.outlines[bit]);
      path.setAttribute("class", `c${bit % 6}`);
      return path;
    }));
  }

  function show() {
    keep();
    const count = judged();
    at("progress").value = count;
    at("count").textContent = `${count} of ${items.length} judged`;
    at("who").textContent = state.reviewer;
    at("save").classList.toggle("due", state.unsaved && count > 0);
    at("undo").disabled = !state.history.length;
    if (!items.length) return;
    const item = items[state.at];
    const said = word();
    const without = item.removed.map((part) => part.label).join(", ");
    at("number").textContent = `${state.at + 1} / ${items.length}`;
    at("source").textContent = item.source;
    at("removed").replaceChildren(...item.removed.flatMap(({ label: text, bit }) => {
      const chip = element("span", text, `chip c${bit % 6}`);
      chip.prepend(document.createElement("i"));
      return [chip, " "];
    }));
    picture(at("original"), pictures[item.original], "the original");
    picture(at("dual"), pictures[item.dual], `the image without ${without}`);
    for (const svg of document.querySelectorAll(".mask")) outlines(svg, pictures[item.original], item.removed);
    words(at("before"), item.before, "del");
    words(at("after"), item.after, "ins");
    for (const verdict of ["accept", "reject"]) at(verdict).setAttribute("aria-pressed", String(said?.verdict === verdict));
    for (const one of reasonButtons) one.setAttribute("aria-pressed", String(!!said?.reasons.includes(one.dataset.reason)));
    if (document.activeElement !== at("note")) at("note").value = said?.note ?? "";
    at("stage").dataset.verdict = said?.verdict ?? "";
    at("back").disabled = state.at === 0;
    at("forward").disabled = state.at === items.length - 1;
    reveal(item, said);
    const announced = `Pair ${state.at + 1}, without ${without}: ${at("after").textContent} ${said?.verdict ? `You ${said.verdict}ed it.` : ""}`;
    if (at("announce").textContent !== announced) at("announce").textContent = announced;
  }

  // Only for one who comes back: a number seen before the verdict would lead it.
  function reveal(item, said) {
    at("shown").hidden = !(said?.verdict && said.closed);
    at("shown").replaceChildren();
    if (at("shown").hidden) return;
    const plain = (text) => text.replaceAll("_", " ");
    const verdict = item.facts.kept ? element("b", "kept", "good") : element("b", `rejected: ${item.filter.map(plain).join(", ")}`, "bad");
    const values = Object.entries(item.measured).map(([name, value]) => element("span", `${plain(name)} ${value}`));
    at("shown").append(element("span", "The filter"), verdict, ...values);
  }

  function hold(name, on) {
    document.body.classList.toggle(name, on);
    if (name !== "before" || !items.length) return;
    const item = items[state.at];
    picture(at("dual"), pictures[on ? item.original : item.dual], on ? "the original" : "the dual");
    at("flickered").hidden = !on;
  }

  const release = () => ["masks", "before"].filter((name) => document.body.classList.contains(name)).forEach((name) => hold(name, false));

  // --- handing in

  function file() {
    noted();
    const reviews = items.flatMap(({ facts }, index) => {
      if (!word(index)?.verdict) return [];
      const { verdict, reasons, note, judged_at } = word(index);
      return [{ ...facts, verdict, reasons, note, judged_at }];
    });
    return JSON.stringify({ ...head, reviewer: state.reviewer, saved_at: new Date().toISOString(), reviews }, null, 1);
  }

  function save() {
    if (!state.reviewer) return at("about").showModal();
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([file()], { type: "application/json" }));
    link.download = `review-${head.export_id}-${state.reviewer.replace(/[^\p{L}\p{N}]+/gu, "-")}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    state.unsaved = false;
    show();
    at("last").textContent = `Saved ${judged()} words as ${link.download}: hand it in with dualset review import.`;
  }

  async function copy() {
    if (!state.reviewer) return at("about").showModal();
    const text = file();
    let said = "They are on the clipboard: paste them into a file that ends in .json.";
    try {
      await navigator.clipboard.writeText(text);
    } catch (problem) {
      if (!(problem instanceof DOMException || problem instanceof TypeError)) throw problem;
      said = "This browser gives no clipboard: copy the text and paste it into a file that ends in .json.";
    }
    at("copied-say").textContent = said;
    at("copied-text").value = text;
    at("copied").showModal();
    at("copied-text").select();
  }

  async function resume() {
    const [chosen] = at("resume").files;
    if (!chosen) return;
    let saved;
    try {
      saved = JSON.parse(await chosen.text());
    } catch (problem) {
      if (!(problem instanceof SyntaxError)) throw problem;
    }
    if (saved?.format !== head.format || saved.export_id !== head.export_id || !Array.isArray(saved.reviews)) {
      return warn(`${chosen.name} was not saved from this page.`);
    }
    const key = (one) => JSON.stringify([one.record_id, one.subset, one.caption_id]);
    const known = new Map(saved.reviews.map((one) => [key(one), one]));
    items.forEach(({ facts }, index) => {
      const one = known.get(key(facts));
      if (!one || (word(index)?.judged_at ?? "") >= one.judged_at) return;
      const { verdict, reasons, note, judged_at } = one;
      state.words[index] = { verdict, reasons, note, judged_at, closed: true };
    });
    state.reviewer ||= saved.reviewer;
    at("name").value = state.reviewer;
    show();
  }

  // --- keys and buttons

  const keys = {
    a: accept, r: () => say({ verdict: "reject" }), u: undo, s: save, n: () => at("note").focus(), "?": about,
    ArrowLeft: () => go(state.at - 1), ArrowRight: () => go(state.at + 1), Enter: () => word()?.verdict ? goOn() : go(state.at + 1),
  };
  reasonButtons.forEach((one, index) => { keys[index + 1] = () => toggle(one.dataset.reason); });
  const holds = { m: "masks", b: "before" };

  function about() {
    at("name").value = state.reviewer;
    at("about").showModal();
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.target === at("note")) {
      if (key !== "Escape" && key !== "Enter") return;
      event.preventDefault();
      return at("stage").focus({ preventScroll: true });
    }
    if (key === "Enter" && event.target.closest("button, a")) return; // the button's own
    if (holds[key]) return event.repeat ? undefined : hold(holds[key], true);
    if (!keys[key] || (event.repeat && !key.startsWith("Arrow"))) return;
    event.preventDefault();
    keys[key]();
  });
  document.addEventListener("keyup", (event) => {
    const name = holds[event.key.toLowerCase()];
    if (name) hold(name, false);
  });
  addEventListener("blur", release);
  for (const [id, name] of [["mask", "masks"], ["flicker", "before"]]) {
    at(id).addEventListener("pointerdown", () => hold(name, true));
    for (const event of ["pointerup", "pointerleave", "pointercancel"]) at(id).addEventListener(event, () => hold(name, false));
    at(id).addEventListener("keydown", (event) => { if (event.key === " ") hold(name, true); });
    at(id).addEventListener("keyup", (event) => { if (event.key === " ") hold(name, false); });
  }
  const clicks = { accept, reject: keys.r, undo, save, copy, help: about, back: keys.ArrowLeft, forward: keys.ArrowRight, "done-save": save };
  for (const [id, act] of Object.entries(clicks)) at(id).addEventListener("click", act);
  reasonButtons.forEach((one) => one.addEventListener("click", () => toggle(one.dataset.reason)));
  at("note").addEventListener("change", noted);
  at("resume").addEventListener("change", resume);
  at("about").addEventListener("close", () => {
    state.reviewer = at("name").value.trim() || state.reviewer;
    show();
    at("stage").focus({ preventScroll: true });
  });
  addEventListener("beforeunload", (event) => { if (!storage && state.unsaved) event.preventDefault(); });
  show();
  if (!state.reviewer) about();
  document.documentElement.dataset.ready = "";
})();

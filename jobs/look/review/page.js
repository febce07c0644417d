// Shows one pair at a time and keeps the verdicts. Everything from the data is written as text, never as markup.
(() => {
  "use strict";
  const { head, items, pictures } = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const reasonButtons = [...document.querySelectorAll("[data-reason]")];
  const place = `dualset-review-${head.export_id}`;

  // --- the state: verdicts by item (its name in the store is `words`), the current item, and the history for undo

  const empty = () => ({ reviewer: "", at: 0, words: {}, history: [], unsaved: false });
  let storage = null; // localStorage, or this tab's name if the browser has none for files; the name is lost with the tab
  try {
    storage = window.localStorage;
    storage.setItem(`${place}-try`, "1");
    storage.removeItem(`${place}-try`);
  } catch (problem) {
    if (!(problem instanceof DOMException)) throw problem;
    storage = null;
    warn("This browser stores nothing for a file: your work stays in this tab only. Save before you close it.");
  }

  function kept() {
    const text = storage ? storage.getItem(place) : window.name.startsWith(place) ? window.name.slice(place.length) : null;
    try {
      return { ...empty(), ...JSON.parse(text ?? "{}") };
    } catch (problem) {
      if (!(problem instanceof SyntaxError)) throw problem;
      warn("Your work as stored in this browser is damaged: start again, or continue from a saved file (?).");
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
      warn("This browser's storage is full: your work stays in this tab only. Save before you close it.");
    }
  }

  function warn(text) {
    at("warning").textContent = text;
    at("warning").hidden = false;
  }

  let state = kept();
  state.at = Math.min(Math.max(state.at, 0), Math.max(items.length - 1, 0));
  const judgement = (index = state.at) => state.words[index];
  const judged = () => items.filter((_, index) => judgement(index)?.verdict).length;

  // --- judging

  function judge(change) {
    const now = judgement() ?? { verdict: null, reasons: [], note: "" };
    state.history.push([state.at, judgement() ?? null]);
    state.words[state.at] = { ...now, ...change, closed: false, judged_at: new Date().toISOString() };
    state.unsaved = true;
    show();
  }

  function accept() {
    judge({ verdict: "accept", reasons: [] });
    goToNext();
  }

  function toggle(reason) {
    const now = judgement()?.verdict === "reject" ? judgement().reasons : [];
    const reasons = now.includes(reason) ? now.filter((code) => code !== reason) : [...now, reason];
    judge({ verdict: "reject", reasons });
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

  function storeNote() {
    const text = at("note").value.trim();
    if (text !== (judgement()?.note ?? "")) judge({ note: text });
  }

  // --- moving

  function go(index) {
    if (index < 0 || index >= items.length || index === state.at) return;
    leave();
    state.at = index;
    show();
    at("stage").focus({ preventScroll: true });
  }

  function leave() {
    storeNote();
    const current = judgement();
    if (!current?.verdict) return;
    current.closed = true;
    const why = current.reasons.map(label).join(", ");
    const { kept } = items[state.at].facts;
    at("last").textContent = `Number ${state.at + 1}: you ${current.verdict}ed it${why && ` (${why})`}; the filter had ${kept ? "kept" : "rejected"} it.`;
  }

  // To the next pair without a verdict, past the end from the start; if there is none, the review is done.
  function goToNext() {
    const order = items.map((_, step) => (state.at + 1 + step) % items.length);
    const next = order.find((index) => !judgement(index)?.verdict);
    if (next !== undefined && next !== state.at) go(next);
    else if (next === undefined) {
      leave();
      show();
      if (!at("done").open) at("done").showModal();
    }
  }

  // --- showing

  const label = (code) => reasonButtons.find((button) => button.dataset.reason === code).lastChild.textContent.trim();
  const element = (name, text, className = "") => Object.assign(document.createElement(name), { textContent: text, className });

  function showText(target, parts, name) {
    target.replaceChildren(...parts.flatMap(([text, changed]) => [changed ? element(name, text) : text, " "]));
  }

  function showPicture(image, picture, text) {
    image.src = `data:image/webp;base64,${picture.webp}`;
    image.width = picture.width;
    image.height = picture.height;
    image.alt = text;
  }

  function showOutlines(svg, picture, parts) {
    svg.setAttribute("viewBox", `0 0 ${picture.width} ${picture.height}`);
    svg.replaceChildren(...parts.filter(({ bit }) => picture.outlines[bit]).map(({ bit }) => {
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.setAttribute("d", picture.outlines[bit]);
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
    const current = judgement();
    const without = item.removed.map((part) => part.label).join(", ");
    at("number").textContent = `${state.at + 1} / ${items.length}`;
    at("source").textContent = item.source;
    at("removed").replaceChildren(...item.removed.flatMap(({ label: text, bit }) => {
      const chip = element("span", text, `chip c${bit % 6}`);
      chip.prepend(document.createElement("i"));
      return [chip, " "];
    }));
    showPicture(at("original"), pictures[item.original], "the original");
    showPicture(at("dual"), pictures[item.dual], `the image without ${without}`);
    for (const svg of document.querySelectorAll(".mask")) showOutlines(svg, pictures[item.original], item.removed);
    showText(at("before"), item.before, "del");
    showText(at("after"), item.after, "ins");
    for (const verdict of ["accept", "reject"]) at(verdict).setAttribute("aria-pressed", String(current?.verdict === verdict));
    for (const button of reasonButtons) button.setAttribute("aria-pressed", String(!!current?.reasons.includes(button.dataset.reason)));
    if (document.activeElement !== at("note")) at("note").value = current?.note ?? "";
    at("stage").dataset.verdict = current?.verdict ?? "";
    at("back").disabled = state.at === 0;
    at("forward").disabled = state.at === items.length - 1;
    reveal(item, current);
    const announced = `Pair ${state.at + 1}, without ${without}: ${at("after").textContent} ${current?.verdict ? `You ${current.verdict}ed it.` : ""}`;
    if (at("announce").textContent !== announced) at("announce").textContent = announced;
  }

  // Only on a return to a judged pair: numbers seen before the verdict would influence it.
  function reveal(item, current) {
    at("shown").hidden = !(current?.verdict && current.closed);
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
    showPicture(at("dual"), pictures[on ? item.original : item.dual], on ? "the original" : "the dual");
    at("flickered").hidden = !on;
  }

  const release = () => ["masks", "before"].filter((name) => document.body.classList.contains(name)).forEach((name) => hold(name, false));

  // --- handing in

  function file() {
    storeNote();
    const reviews = items.flatMap(({ facts }, index) => {
      if (!judgement(index)?.verdict) return [];
      const { verdict, reasons, note, judged_at } = judgement(index);
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
    at("last").textContent = `Saved ${judged()} verdicts as ${link.download}: hand in the file with dualset review import.`;
  }

  async function copy() {
    if (!state.reviewer) return at("about").showModal();
    const text = file();
    let message = "They are on the clipboard: paste them into a file whose name ends in .json.";
    try {
      await navigator.clipboard.writeText(text);
    } catch (problem) {
      if (!(problem instanceof DOMException || problem instanceof TypeError)) throw problem;
      message = "This browser gives no access to the clipboard: copy the text into a file whose name ends in .json.";
    }
    at("copied-say").textContent = message;
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
    const key = (pair) => JSON.stringify([pair.record_id, pair.subset, pair.caption_id]);
    const known = new Map(saved.reviews.map((review) => [key(review), review]));
    items.forEach(({ facts }, index) => {
      const review = known.get(key(facts));
      if (!review || (judgement(index)?.judged_at ?? "") >= review.judged_at) return;
      const { verdict, reasons, note, judged_at } = review;
      state.words[index] = { verdict, reasons, note, judged_at, closed: true };
    });
    state.reviewer ||= saved.reviewer;
    at("name").value = state.reviewer;
    show();
  }

  // --- keys and buttons

  const keys = {
    a: accept, r: () => judge({ verdict: "reject" }), u: undo, s: save, n: () => at("note").focus(), "?": about,
    ArrowLeft: () => go(state.at - 1), ArrowRight: () => go(state.at + 1), Enter: () => judgement()?.verdict ? goToNext() : go(state.at + 1),
  };
  reasonButtons.forEach((button, index) => { keys[index + 1] = () => toggle(button.dataset.reason); });
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
  reasonButtons.forEach((button) => button.addEventListener("click", () => toggle(button.dataset.reason)));
  at("note").addEventListener("change", storeNote);
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

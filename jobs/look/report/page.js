// Draws the plots in the colours of the page, again whenever those change, and toggles the masks.
(() => {
  "use strict";
  const plots = JSON.parse(document.getElementById("plots").textContent);
  const config = { displaylogo: false, displayModeBar: false, responsive: true };
  const places = () => [...document.querySelectorAll("[data-plot]")];

  function colours() {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(name).trim();
    return { ink: read("--ink"), quiet: read("--quiet"), line: read("--line"), card: read("--card"), font: read("--sans") };
  }

  function styled(layout) {
    const { ink, quiet, line, card, font } = colours();
    const axis = { gridcolor: line, linecolor: line, tickcolor: line, tickfont: { color: quiet }, titlefont: { color: quiet } };
    const result = { ...layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)" };
    result.font = { family: font, size: 12, color: ink };
    result.hoverlabel = { bgcolor: card, bordercolor: line, font: { color: ink, family: font } };
    for (const name of Object.keys(layout)) {
      if (/^[xy]axis/.test(name)) result[name] = { ...axis, ...layout[name] };
    }
    return result;
  }

  function draw() {
    return Promise.all(places().map((place) => {
      const { data, layout } = plots[place.dataset.plot];
      return Plotly.react(place, data, styled(layout), config);
    }));
  }

  const masks = document.getElementById("masks");
  const toggle = () => document.body.classList.toggle("masks", masks.checked);
  if (masks) masks.addEventListener("change", toggle);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "m" || event.ctrlKey || event.metaKey || event.altKey || !masks) return;
    masks.checked = !masks.checked;
    toggle();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  addEventListener("beforeprint", draw);
  addEventListener("afterprint", draw);
  draw().then(() => document.documentElement.setAttribute("data-ready", String(places().length)));
})();

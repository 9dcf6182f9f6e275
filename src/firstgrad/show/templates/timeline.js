"use strict";
// Lets the time line be zoomed and walked through, and shows what is pointed at; without it all of it can be read.
for (const place of document.querySelectorAll(".timeline")) {
  const box = place.querySelector(".scroll");
  const rows = place.querySelector(".rows");
  const axis = place.querySelector(".axis");
  const said = place.querySelector(".said");
  const bars = [...place.querySelectorAll("a.whole")];
  const seconds = Number(place.dataset.seconds);
  const first = said.textContent;
  const most = 4096;
  let zoom = 1;

  const write = (at, step) => {
    const digits = Math.max(0, Math.ceil(-Math.log10(step)));
    return `${at.toFixed(Math.min(digits, 6))} s`;
  };

  // Ticks of a round length, some 120 pixels apart, and only where they are seen: there may be thousands.
  const draw = () => {
    const width = rows.clientWidth;
    const raw = (seconds * 120) / width;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= raw);
    const from = Math.max(0, Math.floor((box.scrollLeft / width) * seconds / step) - 1);
    const to = Math.min(Math.floor(seconds / step), from + Math.ceil((box.clientWidth / width) * seconds / step) + 3);
    axis.replaceChildren();
    for (let each = from; each <= to; each += 1) {
      const tick = document.createElement("span");
      tick.style.left = `${((each * step) / seconds) * 100}%`;
      tick.textContent = write(each * step, step);
      axis.append(tick);
    }
  };

  // What is below the pointer stays there.
  const scale = (factor, x = box.clientWidth / 2) => {
    const at = (box.scrollLeft + x) / rows.clientWidth;
    zoom = factor === 0 ? 1 : Math.min(most, Math.max(1, zoom * factor));
    rows.style.setProperty("--zoom", zoom);
    box.scrollLeft = at * rows.clientWidth - x;
    draw();
  };

  const choose = (href) => {
    for (const chosen of document.querySelectorAll(".chosen")) chosen.classList.remove("chosen");
    if (!href) return;
    for (const link of document.querySelectorAll(`a[href="${href}"]`)) {
      (link.closest("tr") ?? link).classList.add("chosen");
    }
  };

  const tell = (bar) => {
    said.textContent = bar.dataset.said;
    choose(bar.getAttribute("href"));
  };

  place.addEventListener("pointerover", (event) => {
    const bar = event.target.closest("[data-said]");
    if (bar) tell(bar);
  });
  place.addEventListener("pointerleave", () => {
    said.textContent = first;
    choose("");
  });
  place.addEventListener("focusin", (event) => {
    const bar = event.target.closest("[data-said]");
    if (bar) tell(bar);
  });
  box.addEventListener("scroll", draw);
  window.addEventListener("resize", draw);
  box.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      scale(event.deltaY < 0 ? 1.25 : 0.8, event.clientX - box.getBoundingClientRect().left);
    },
    { passive: false },
  );
  box.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const factor = { "+": 2, "=": 2, "-": 0.5, 0: 0 }[event.key];
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const present = bars.indexOf(document.activeElement);
    if (factor !== undefined) scale(factor);
    else if (step && bars.length) {
      bars[present < 0 && step < 0 ? bars.length - 1 : (present + step + bars.length) % bars.length].focus();
    } else return;
    event.preventDefault();
  });
  // With the pointer held down a stretch is chosen, which then fills the box.
  let began = null;
  box.addEventListener("pointerdown", (event) => {
    if (event.button === 0 && !event.target.closest("a")) began = event.clientX;
  });
  box.addEventListener("pointerup", (event) => {
    const from = began;
    began = null;
    if (from === null || Math.abs(event.clientX - from) < 8 || event.pointerType === "touch") return;
    const left = Math.min(from, event.clientX) - box.getBoundingClientRect().left + box.scrollLeft;
    const start = left / rows.clientWidth;
    scale(box.clientWidth / Math.abs(event.clientX - from));
    box.scrollLeft = start * rows.clientWidth;
  });
  for (const button of place.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => scale(Number(button.dataset.zoom)));
  }
  place.querySelector(".tools").hidden = false;
  draw();
}
// A link to a compile opens what is told of it.
const unfold = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.tagName === "DETAILS") target.open = true;
};
window.addEventListener("hashchange", unfold);
document.addEventListener("click", (event) => {
  const link = event.target.closest?.('a[href^="#"]');
  const target = link && document.getElementById(link.getAttribute("href").slice(1));
  if (target?.tagName === "DETAILS") target.open = true;
});
unfold();

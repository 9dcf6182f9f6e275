
"use strict";
// Makes tables of the class "sortable" sortable and filterable; without it they stay as they are.
for (const table of document.querySelectorAll("table.sortable")) {
  const place = table.closest(".table");
  const body = table.tBodies[0];
  const isDetails = (row) => row?.classList.contains("details");
  const heads = [...table.tHead.rows[0].cells];
  const search = place.querySelector("input");
  const selects = [...place.querySelectorAll("select")];
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const whole = new Intl.NumberFormat("en");
  let rows = [...body.rows].filter((row) => !isDetails(row));
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  // What opens below a row goes where the row goes.
  const withDetails = new Map(
    rows.map((row) => [row, isDetails(row.nextElementSibling) ? [row, row.nextElementSibling] : [row]]),
  );

  const keyOf = (cell, isNumber) => {
    if (!isNumber) return cell.textContent.trim();
    return "number" in cell.dataset ? Number(cell.dataset.number) : "";
  };

  // Stable, and cells without a value come last either way.
  const sort = (column, head) => {
    const isDown = head.getAttribute("aria-sort") === "ascending";
    const isNumber = head.classList.contains("number");
    const keyed = rows.map((row) => [keyOf(row.cells[column], isNumber), row]);
    keyed.sort(([one], [other]) => {
      if (one === "" || other === "") return (one === "") - (other === "");
      const order = isNumber ? one - other : collator.compare(one, other);
      return isDown ? -order : order;
    });
    rows = keyed.map(([, row]) => row);
    body.append(...rows.flatMap((row) => withDetails.get(row)));
    for (const each of heads) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", isDown ? "descending" : "ascending");
  };

  const isChosen = (row, select) =>
    select.value === "" || row.cells[select.dataset.column].textContent.split(/[ ,]+/).includes(select.value);

  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = texts.get(row);
      const isShown = words.every((word) => text.includes(word)) && selects.every((select) => isChosen(row, select));
      for (const one of withDetails.get(row)) one.hidden = !isShown;
      shown += !row.hidden;
    }
    place.querySelector(".shown").textContent = `${whole.format(shown)} of ${whole.format(rows.length)} rows shown`;
  };

  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(column, head));
    head.append(button);
  });
  search.addEventListener("input", filter);
  for (const select of selects) select.addEventListener("change", filter);
  place.querySelector(".filters button").addEventListener("click", () => {
    search.value = "";
    for (const select of selects) select.value = "";
    filter();
  });
  place.querySelector(".filters").hidden = false;
  filter();

  // The address opens a row's details, so that a link, Back and Forward do; a second click and Esc close them.
  const open = () => body.querySelector(":scope > tr:target");
  const close = () => {
    const row = open();
    if (!row) return;
    const place = [scrollX, scrollY];
    location.hash = table.closest("section")?.id ?? "";
    scrollTo(...place);
    focus(row);
  };
  const focus = (row) => row.querySelector("a").focus({ preventScroll: true }); // an address takes it away
  body.addEventListener("click", (event) => {
    const row = event.target.closest(".sortable > tbody > tr");
    const link = event.target.closest("a");
    if (!row?.id || (link && link.hash !== `#${row.id}`) || getSelection().toString()) return;
    event.preventDefault();
    if (row === open()) close();
    else {
      location.hash = row.id;
      focus(row);
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.defaultPrevented) close();
  });
}

// Decisions become a CSV of path,label that linnaea relabel reads; an empty label leaves the picture out.
"use strict";
(() => {
  const list = document.querySelector(".issues");
  if (!list) return;
  const known = new Set([...document.querySelectorAll("#classes option")].map((option) => option.value));
  const [download, copy] = document.querySelectorAll(".hand-over button");
  const csv = document.getElementById("csv");
  const status = document.getElementById("decided");
  // Decisions outlive a closed window where the browser allows it; they belong to this page's pictures.
  const key = `linnaea ${location.pathname} ${list.dataset.key}`;

  const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

  // What is decided for one picture: a class, "" for leaving it out, or null for nothing (yet).
  const decisionOf = (item) => {
    const chosen = item.querySelector("input[type=radio]:checked");
    const other = item.querySelector("input[type=text]");
    const unknown = item.querySelector(".unknown");
    other.removeAttribute("aria-invalid");
    unknown.hidden = true;
    if (!chosen) return null;
    if (chosen.value === "out") return "";
    if (chosen.value !== "other") return item.dataset[chosen.value];
    const name = other.value.trim();
    if (known.has(name)) return name;
    if (name) other.setAttribute("aria-invalid", "true");
    unknown.hidden = !name;
    return null;
  };

  const save = () => {
    const state = [...list.children].map((item) => [
      item.querySelector("input[type=radio]:checked")?.value ?? "",
      item.querySelector("input[type=text]").value,
    ]);
    try { localStorage.setItem(key, JSON.stringify(state)); } catch { /* a browser that keeps nothing */ }
  };

  const load = () => {
    try {
      for (const [index, [choice, name]] of (JSON.parse(localStorage.getItem(key)) ?? []).entries()) {
        const item = list.children[index];
        for (const radio of item.querySelectorAll("input[type=radio]")) radio.checked = radio.value === choice;
        item.querySelector("input[type=text]").value = name;
      }
    } catch { /* nothing was kept */ }
  };

  const show = () => {
    const lines = ["path,label"];
    for (const item of list.children) {
      const label = decisionOf(item);
      item.classList.toggle("decided", label !== null);
      if (label !== null) lines.push(`${quoted(item.dataset.path)},${quoted(label)}`);
    }
    const number = lines.length - 1;
    csv.value = `${lines.join("\n")}\n`;
    status.textContent = `${number} of ${list.children.length} decided.`;
    download.disabled = copy.disabled = number === 0;
  };

  list.addEventListener("input", (event) => {
    // Who types a class means it.
    if (event.target.type === "text") event.target.closest("li").querySelector("[value=other]").checked = true;
    show();
    save();
  });
  download.addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv.value], { type: "text/csv" }));
    link.download = "decisions.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
  copy.addEventListener("click", async () => {
    let copied = true;
    try {
      await navigator.clipboard.writeText(csv.value);
    } catch {
      // Pages opened from a disk may not reach the clipboard on their own.
      csv.closest("details").open = true;
      csv.select();
      copied = document.execCommand("copy");
    }
    status.textContent = copied ? "Copied." : "The browser does not allow copying. The text is selected: copy it with the keyboard.";
  });
  load();
  show();
})();

// The `az batchai` line in a form follows what is typed: data-line is its beginning, fields are its flags.

document.addEventListener("input", (event) => {
  const form = event.target.closest("form[data-line]");
  if (!form) return;
  const fields = [...form.elements].filter((field) => field.name && field.type !== "hidden");
  const line = [form.dataset.line, ...fields.map((field) => `--${field.name} ${field.value}`)].join(" ");
  form.querySelector(".command code").textContent = line;
  const button = form.querySelector("[data-copy]");
  button.dataset.copy = line;
  button.setAttribute("aria-label", `Copy: ${line}`);
});

for (const button of document.querySelectorAll("button[data-for]")) {
  button.parentElement.hidden = false;
  button.addEventListener("click", () => {
    const boxes = document.getElementById(button.dataset.for).querySelectorAll("input");
    for (const box of boxes) box.checked = button.dataset.to === "all";
  });
}

"use strict";
const lost = document.getElementById("lost");
async function update() {
  if (document.hidden) return;
  try {
    const response = await fetch(location.href, {cache: "no-store", signal: AbortSignal.timeout(5000)});
    if (!response.ok) throw new Error(response.statusText);
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const id of ["state", "targets"]) {
      const old = document.getElementById(id);
      if (!old.contains(document.activeElement)) old.replaceWith(fresh.getElementById(id));
    }
    document.title = fresh.title;
    lost.textContent = fresh.getElementById("lost").textContent;
    lost.hidden = true;
  } catch {
    lost.hidden = false;
  }
}
setInterval(update, 5000);
document.addEventListener("visibilitychange", update);

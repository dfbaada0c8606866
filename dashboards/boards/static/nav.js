// On a narrow screen the navigation scrolls: show the link to the current page.

document.querySelector("nav [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });

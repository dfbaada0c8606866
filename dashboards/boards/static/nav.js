// On a narrow screen the pages' names are a strip: the page that is open is brought into sight.

document.querySelector("nav [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });

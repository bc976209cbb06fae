// How the search ranks pages: https://www.sphinx-doc.org/en/master/usage/configuration.html#confval-html_search_scorer
// The numbers are Sphinx's own. With them alone, one word in any heading of a page counts as much as a page that is about
// all of the words, and then the first page in the alphabet wins. So a heading counts by how many of the words it has.

// "Why does OPTIONS return 405?" has 2 of the 3 words of "OPTIONS returns 405", and 3 if "returns" counts as "return".
function share(words, heading) {
  const its = heading.toLowerCase().match(/[\w:*-]+/g) ?? [];
  const found = words.filter((word) => its.some((it) => it.startsWith(word) || (it.length > 2 && word.startsWith(it))));
  return found.length / words.length;
}

function bestShare(words, page) {
  const { alltitles, docnames } = Search._index;
  const number = docnames.indexOf(page);
  const headings = Object.entries(alltitles).filter(([, places]) => places.some(([it]) => it === number));
  return Math.max(0, ...headings.map(([heading]) => share(words, heading)));
}

var Scorer = {
  // First what has a heading like the query, then what helps with a page that fails; comparisons and background last.
  score: (result) => {
    const [page, title, , , score] = result;
    const query = (new URLSearchParams(location.search).get("q") ?? "").trim().toLowerCase();
    const words = (query.match(/[\w:*-]+/g) ?? []).filter((word) => !stopwords.has(word));
    const isCalledSo = title.toLowerCase().includes(query);
    const first = { refusals: 3, messages: 2, start: 1 };
    const last = /^(coming-from|changelog|contributing|design|glossary|performance)/;
    const like = words.length > 1 ? 12 * bestShare(words, page) : 0;
    return score + like + (isCalledSo ? 10 : 0) + (first[page] ?? 0) - (last.test(page) ? 4 : 0);
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};

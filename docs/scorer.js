// How the search ranks pages: https://www.sphinx-doc.org/en/master/usage/configuration.html#confval-html_search_scorer
// The numbers are Sphinx's own. With them alone, one word in any heading of a page counts as much as a page that is about
// all of the words, and then the first page in the alphabet wins.
var Scorer = {
  // First what is called like the query, then what helps with a page that fails; comparisons and background last.
  score: (result) => {
    const [page, title, , , score] = result;
    const query = new URLSearchParams(location.search).get("q") ?? "";
    const isCalledSo = title.toLowerCase().includes(query.trim().toLowerCase());
    const first = { refusals: 3, messages: 2, start: 1 };
    const last = /^(coming-from|changelog|contributing|design|glossary|performance)/;
    return score + (isCalledSo ? 10 : 0) + (first[page] ?? 0) - (last.test(page) ? 4 : 0);
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

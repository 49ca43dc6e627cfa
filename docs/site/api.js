// The API reference's navigation has links inside of what folds a list, which a screen reader does not offer.
// Each goes to the top of its list.
const navigation = document.querySelector('#tsd-nav-container');

function moveLinks() {
  for (const link of navigation.querySelectorAll('summary a')) {
    const text = document.createElement('span');
    text.append(...link.childNodes);
    link.replaceWith(text);
    const item = document.createElement('li');
    link.textContent = 'Overview';
    item.append(link);
    text.closest('details').querySelector('ul')?.prepend(item);
  }
}

if (navigation)
  new MutationObserver(moveLinks).observe(navigation, { childList: true, subtree: true });

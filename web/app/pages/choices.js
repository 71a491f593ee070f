// The learner's own partners and situations, from onboarding, with the names
// that the reference data has for their slugs.
import { api } from '../session.js';

/**
 * Partners with their situations, in the learner's order.
 * @returns {Promise<{ value: string, label: string, situations: { value: string, label: string }[] }[]>}
 */
export async function partnerChoices() {
  const [state, partners, situations] = await Promise.all([
    api('GET', '/onboarding'), options('partners'), options('situations'),
  ]);
  const valueOf = (/** @type {string} */ step) => state.steps?.find((/** @type {any} */ s) => s.step === step)?.value;
  const chosen = valueOf('partners')?.partners ?? [];
  const per = valueOf('situations')?.situations ?? [];
  return chosen.map((/** @type {any} */ p) => {
    const value = refOf(p);
    const mine = per.find((/** @type {any} */ s) => s.partner === value)?.situations ?? [];
    return {
      value, label: p.custom ?? nameIn(partners, p.partner),
      situations: mine.map((/** @type {any} */ s) => ({
        value: s.custom ? `custom:${s.custom}` : s.situation, label: s.custom ?? nameIn(situations, s.situation),
      })),
    };
  });
}

/**
 * How other steps refer to a chosen partner.
 * @param {any} p
 */
export function refOf(p) {
  return p.custom ? `custom:${p.custom}` : p.partner;
}

/**
 * A list of reference data as { slug, name, more } rows.
 * @param {string} list
 * @returns {Promise<{ slug: string, name: string, more: string[], lang?: string }[]>}
 */
export async function options(list) {
  const got = await api('GET', `/onboarding/options/${list}`);
  return rows(got);
}

/**
 * @param {any} got
 * @returns {{ slug: string, name: string, more: string[], lang?: string }[]}
 */
export function rows(got) {
  const all = Array.isArray(got) ? got : (got?.options ?? []);
  return all.map((/** @type {any} */ o) => ({
    slug: o.slug, name: o.name ?? o.title ?? o.slug,
    more: [o.english && o.english !== o.name ? o.english : '', o.description ?? ''].concat(o.can_do ?? []).filter(Boolean),
    // Names of languages are written in themselves.
    lang: o.english ? o.slug.replaceAll('_', '-') : undefined,
  }));
}

/**
 * @param {{ slug: string, name: string }[]} list
 * @param {string} slug
 */
export function nameIn(list, slug) {
  return list.find((o) => o.slug === slug)?.name ?? slug;
}

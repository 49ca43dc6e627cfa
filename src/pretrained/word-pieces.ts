import { createRequire } from 'node:module';
import { z } from 'zod';
import { UserError } from '../core/errors.js';
import { readBytes } from '../core/files.js';
import { checkedValue } from '../core/schema.js';
import { shownCaption, UnknownCaption, warnOfCaption } from './caption-encoder.js';

/** What is used of `@huggingface/tokenizers`. */
interface Tokenizer {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] };
  token_to_id(token: string): number | undefined;
}

/**
 * Captions as tokens of a vocabulary, the pieces of words of BERT (Devlin et al. 2019, arXiv
 * 1810.04805): the tokens between begin and end, at least 2, at most `entries`, which is at least 2.
 * Cutting a caption, and words that the vocabulary does not have, are warned of.
 *
 * @throws UnknownCaption where a caption is not empty and nothing in it is known
 */
export type WordPieces = (caption: string, entries: number) => number[];

/**
 * Reads a vocabulary.
 *
 * @param file the `tokenizer.json` that stands beside the weights
 * @throws UserError where the file cannot be read, or is of another kind
 */
export async function readWordPieces(file: string): Promise<WordPieces> {
  const remedy = 'Expected the tokenizer.json of a BERT, whose model is WordPiece; take it anew';
  const ids = z.record(z.string(), z.int().min(0));
  try {
    const json = JSON.parse(Buffer.from(await readBytes(file)).toString('utf8'));
    const type = json?.model?.type;
    if (type !== 'WordPiece') throw new UserError(`${file} has the model ${type}`, remedy);
    checkedValue(ids, json.model.vocab, `${file}: its vocabulary`, remedy);
    const tokenizer = new (tokenizerClass())(json, {});
    const idOf = (mark: string): number => {
      const id = tokenizer.token_to_id(mark) ?? Number.NaN;
      if (!Number.isInteger(id)) throw new UserError(`${file} has no token ${mark}`, remedy);
      return id;
    };
    tokenizer.encode('a first try: what is damaged fails here', { add_special_tokens: false });
    return wordPieces(tokenizer, idOf('[CLS]'), idOf('[SEP]'), idOf('[UNK]'));
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`${file} is no tokenizer (${(error as Error).message})`, remedy);
  }
}

function wordPieces(tokenizer: Tokenizer, begin: number, end: number, unknown: number): WordPieces {
  const tokensOf = (text: string) => tokenizer.encode(text, { add_special_tokens: false }).ids;
  return (caption, entries) => {
    const inner = tokensOf(caption);
    const shown = shownCaption(caption);
    if (inner.length > 0 && inner.every((id) => id === unknown)) {
      throw new UnknownCaption(
        `Nothing in the caption ${shown} is in the encoder's vocabulary`,
        'Write it in English words',
      );
    }
    const length = inner.length + 2;
    if (length > entries) {
      warnOfCaption(`The caption ${shown} has ${length} tokens and is cut to ${entries}.`);
    }
    if (inner.includes(unknown)) {
      const words = caption.split(/\s+/).filter((word) => tokensOf(word).includes(unknown));
      const all = words.map((word) => shownCaption(word)).join(', ');
      warnOfCaption(`The encoder does not know ${all} in the caption ${shown}.`);
    }
    return [begin, ...inner.slice(0, entries - 2), end];
  };
}

/**
 * The library's types are those of a module that CommonJS does not import; what `require` finds is its
 * CommonJS build.
 */
function tokenizerClass(): new (tokenizer: object, config: object) => Tokenizer {
  return createRequire(__filename)('@huggingface/tokenizers').Tokenizer;
}

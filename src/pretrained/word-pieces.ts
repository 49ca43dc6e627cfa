import { createRequire } from 'node:module';
import { UserError } from '../core/errors.js';
import { readBytes } from '../core/files.js';
import { shownCaption, UnknownCaption, warnOfCaption } from './caption-encoder.js';

/** What is used of `@huggingface/tokenizers`. */
interface Tokenizer {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] };
  token_to_id(token: string): number | undefined;
}

/** Tokens that begin and end every caption, and the one of what is not known. */
interface Marks {
  begin: number;
  end: number;
  unknown: number;
}

/**
 * Captions as tokens of a vocabulary, the pieces of words of BERT (Devlin et al. 2019, arXiv
 * 1810.04805), by the `tokenizer.json` that stands beside its weights.
 */
export class WordPieces {
  private constructor(
    private readonly tokenizer: Tokenizer,
    private readonly marks: Marks,
  ) {}

  /**
   * @param file a `tokenizer.json`
   * @throws UserError where the file cannot be read, or is of another kind
   */
  static async read(file: string): Promise<WordPieces> {
    const remedy = 'Expected the tokenizer.json of a BERT, whose model is WordPiece; take it anew';
    try {
      const json = JSON.parse(Buffer.from(await readBytes(file)).toString('utf8'));
      if (json?.model?.type !== 'WordPiece') {
        throw new UserError(`${file} has the model ${json?.model?.type}`, remedy);
      }
      const tokenizer = new (tokenizerClass())(json, {});
      const idOf = (mark: string): number => {
        const id = tokenizer.token_to_id(mark);
        if (id === undefined) throw new UserError(`${file} has no token ${mark}`, remedy);
        return id;
      };
      const marks = { begin: idOf('[CLS]'), end: idOf('[SEP]'), unknown: idOf('[UNK]') };
      return new WordPieces(tokenizer, marks);
    } catch (error) {
      if (error instanceof UserError) throw error;
      throw new UserError(`${file} is no tokenizer (${(error as Error).message})`, remedy);
    }
  }

  /**
   * The tokens of a caption between begin and end: at least 2, at most `entries`. Cutting a caption,
   * and words that the vocabulary does not have, are warned of.
   *
   * @param entries at least 2
   * @throws UnknownCaption where a caption is not empty and nothing in it is known
   */
  encode(caption: string, entries: number): number[] {
    const { begin, end, unknown } = this.marks;
    const inner = this.inner(caption);
    if (inner.length > 0 && inner.every((id) => id === unknown)) {
      throw new UnknownCaption(
        `Nothing in the caption ${shownCaption(caption)} is in the encoder's vocabulary`,
        'Write it in English words',
      );
    }
    const length = inner.length + 2;
    if (length > entries) {
      warnOfCaption(
        `The caption ${shownCaption(caption)} has ${length} tokens and is cut to ${entries}.`,
      );
    }
    if (inner.includes(unknown)) {
      const words = caption.split(/\s+/).filter((word) => this.inner(word).includes(unknown));
      warnOfCaption(
        `The encoder does not know ${words.map((word) => shownCaption(word)).join(', ')} ` +
          `in the caption ${shownCaption(caption)}.`,
      );
    }
    return [begin, ...inner.slice(0, entries - 2), end];
  }

  private inner(text: string): number[] {
    return this.tokenizer.encode(text, { add_special_tokens: false }).ids;
  }
}

/**
 * The library's types are those of a module that CommonJS does not import; what `require` finds is its
 * CommonJS build.
 */
function tokenizerClass(): new (tokenizer: object, config: object) => Tokenizer {
  return createRequire(__filename)('@huggingface/tokenizers').Tokenizer;
}

import * as fs from 'node:fs';
import * as path from 'node:path';
import { type TensorSource, writeSafetensors } from '../../src/formats/safetensors.js';
import { filled } from './counted-weights.js';

/** What transformers computes, as reference_bert.py wrote it. */
export const reference = JSON.parse(fs.readFileSync(path.join(__dirname, 'bert.json'), 'utf8')) as {
  captions: string[];
  config: Record<string, number | string>;
  random: { entries: number; tokens: number[][]; states: number[] };
  minilm: { entries: number; tokens: number[][]; states: number[] };
};

/** Names and shapes of `BertModel`'s state dict. */
function shapesOf(config: Record<string, number | string>): Record<string, number[]> {
  const width = config.hidden_size as number;
  const wide = config.intermediate_size as number;
  const shapes: Record<string, number[]> = {
    'embeddings.word_embeddings.weight': [config.vocab_size as number, width],
    'embeddings.position_embeddings.weight': [config.max_position_embeddings as number, width],
    'embeddings.token_type_embeddings.weight': [config.type_vocab_size as number, width],
    'embeddings.LayerNorm.weight': [width],
  };
  for (let i = 0; i < (config.num_hidden_layers as number); i++) {
    const layer = `encoder.layer.${i}`;
    for (const part of ['self.query', 'self.key', 'self.value', 'output.dense']) {
      shapes[`${layer}.attention.${part}.weight`] = [width, width];
    }
    shapes[`${layer}.attention.output.LayerNorm.weight`] = [width];
    shapes[`${layer}.intermediate.dense.weight`] = [wide, width];
    shapes[`${layer}.output.dense.weight`] = [width, wide];
    shapes[`${layer}.output.LayerNorm.weight`] = [width];
  }
  const biases = Object.entries(shapes).flatMap(([name, [side]]) =>
    name.endsWith('embeddings.weight') ? [] : [[name.replace(/weight$/, 'bias'), [side]]],
  );
  return { ...shapes, ...Object.fromEntries(biases) };
}

/** A folder with the small BERT of reference_bert.py. */
export async function writeSmallBert(folder: string): Promise<void> {
  fs.mkdirSync(folder, { recursive: true });
  fs.copyFileSync(path.join(__dirname, 'tokenizer.json'), path.join(folder, 'tokenizer.json'));
  fs.writeFileSync(path.join(folder, 'config.json'), JSON.stringify(reference.config));
  const tensors = Object.entries(shapesOf(reference.config)).map(([name, shape]) => [
    name,
    filled(name, shape),
  ]);
  await writeSafetensors(
    path.join(folder, 'model.safetensors'),
    Object.fromEntries(tensors) as Record<string, TensorSource>,
  );
}

// Reads safetensors: 8 bytes of length, a header in JSON that says what lies where, then the numbers.
const TYPES = { F64: Float64Array, F32: Float32Array, U8: Uint8Array, I64: BigInt64Array };

// {header, said, read}: what the header says, its metadata, and `read(name)`, which is {data, shape}.
export function safetensors(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const { __metadata__: said = {}, ...header } = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const read = (name) => {
    const { dtype, shape, data_offsets: [begin, end] } = header[name];
    if (!TYPES[dtype]) throw new Error(`${name} is of type ${dtype}, which the page does not read`);
    return { data: new TYPES[dtype](buffer.slice(8 + length + begin, 8 + length + end)), shape };
  };
  return { header, said, read };
}

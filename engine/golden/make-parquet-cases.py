"""Writes tables in all packings, encodings and types that are read, with rows.json, encodings.json of their rows.

pip install pyarrow==26.0.1; python make-parquet-cases.py
"""

import datetime
import decimal
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq

out = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'parquet', '')
def rows(n):
    r=[]
    for i in range(n):
        r.append({
          'id': i, 'big': 9007199254740993+i if i%2 else None,
          'text': f'row {i} '+'é'*(i%5) if i%7 else None,
          'same': 'constant',
          'flag': i%3==0 if i%5 else None,
          'score': i/4, 'tags': [f't{j}' for j in range(i%4)] if i%6 else None,
          'messages': [{'role':'user' if j%2==0 else 'assistant','content': f'm{i}.{j}' if j!=2 else None} for j in range(i%5)],
          'meta': {'a': i, 'b': {'c': f'x{i}' if i%2 else None}} if i%4 else None,
          'nested': [[1,2],[],[i]] if i%3 else [],
        })
    return r
schema=pa.schema([
 pa.field('id',pa.int32(),nullable=False),('big',pa.int64()),('text',pa.string()),('same',pa.string()),('flag',pa.bool_()),('score',pa.float64()),
 ('tags',pa.list_(pa.string())),
 ('messages',pa.list_(pa.struct([('role',pa.string()),('content',pa.string())]))),
 ('meta',pa.struct([('a',pa.int64()),('b',pa.struct([('c',pa.string())]))])),
 ('nested',pa.list_(pa.list_(pa.int32()))),
])
def fix(r):
    r=dict(r)
    if r['big'] is not None: r['big']=str(r['big'])
    return r
n=30
t=pa.Table.from_pylist(rows(n),schema=schema)
for name,kw in {
 'snappy':dict(compression='snappy',row_group_size=15),
 'gzip':dict(compression='gzip',data_page_version='2.0',row_group_size=1000,data_page_size=64,write_batch_size=4),
 'zstd':dict(compression='zstd',data_page_version='2.0',use_dictionary=False,row_group_size=13),
 'brotli':dict(compression='brotli',use_dictionary=['same']),
 'lz4':dict(compression='lz4',data_page_size=64,write_batch_size=3),
 'plain':dict(compression='none',use_dictionary=False,data_page_size=32,write_batch_size=2,write_page_checksum=True),
}.items():
    pq.write_table(t,out+name+'.parquet',**kw)
json.dump([fix(r) for r in t.to_pylist()],open(out+'rows.json','w'),ensure_ascii=False)
# encodings
n=200
e=pa.table({
 'd32':pa.array([ (i*7919)%1000-500 for i in range(n)],pa.int32()),
 'd64':pa.array([ (i*104729)%10**9-5*10**8 for i in range(n)],pa.int64()),
 'wrap':pa.array([ 2**31-1 if i%2 else -2**31 for i in range(n)],pa.int32()),
 'len':pa.array([ 'abc'*(i%9)+str(i) for i in range(n)]),
 'pre':pa.array([ 'prefix/%05d/é'%(i//3) for i in range(n)]),
 'f':pa.array([ i/8 for i in range(n)],pa.float32()),
 'split':pa.array([ i/3 for i in range(n)],pa.float64()),
 'rle':pa.array([ i%10<7 for i in range(n)]),
})
pq.write_table(e,out+'encodings.parquet',use_dictionary=False,data_page_version='2.0',compression='snappy',column_encoding={'d32':'DELTA_BINARY_PACKED','d64':'DELTA_BINARY_PACKED','wrap':'DELTA_BINARY_PACKED','len':'DELTA_LENGTH_BYTE_ARRAY','pre':'DELTA_BYTE_ARRAY','f':'PLAIN','split':'BYTE_STREAM_SPLIT','rle':'RLE'})
json.dump(e.to_pylist(),open(out+'encodings.json','w'))
D=decimal.Decimal
ty=pa.table({
 'date':pa.array([datetime.date(2026,12,1),datetime.date(1969,12,31)]),
 'ts_us':pa.array([datetime.datetime(2026,12,1,7,8,9,123456),datetime.datetime(1900,1,1)],pa.timestamp('us')),
 'ts_ns':pa.array([1764572889123456789,-1],pa.timestamp('ns')),
 'time':pa.array([datetime.time(1,2,3,4000),datetime.time(23,59,59)],pa.time64('us')),
 'dec':pa.array([D('123.45'),D('-0.01')],pa.decimal128(10,2)),
 'decbig':pa.array([D('12345678901234567890.123456789'),D('-1.5')],pa.decimal128(38,9)),
 'u64':pa.array([2**64-1,3],pa.uint64()),'u32':pa.array([2**32-1,3],pa.uint32()),'i8':pa.array([-128,5],pa.int8()),
 'f16':pa.array([1.5,-0.25],pa.float16()),
 'bin':pa.array([b'\xff\x00\x01',b'abc'],pa.binary()),
 'map':pa.array([[('k',1),('l',None)],[]],pa.map_(pa.string(),pa.int32())),
 'cat':pa.array(['x','y']).dictionary_encode(),
 'null':pa.array([None,None]),
 'big':pa.array(['a','b'],pa.large_string()),
})
pq.write_table(ty,out+'types.parquet',coerce_timestamps=None,version='2.6')
pq.write_table(pa.table({'t':pa.array([datetime.datetime(2026,12,1,7,8,9,123456)])}),out+'int96.parquet',use_deprecated_int96_timestamps=True)
pq.write_table(pa.table({'text':pa.array([],pa.string())}),out+'empty.parquet')
moment=datetime.datetime(2026,12,1,7,8,9)
pq.write_table(pa.table({
 'utc':pa.array([moment],pa.timestamp('ms','UTC')),'zone':pa.array([moment],pa.timestamp('us','Asia/Tokyo')),'clock':pa.array([moment],pa.timestamp('us')),
 'id':pa.array([1152921504606846984],pa.int64()),'small':pa.array([1],pa.int64()),'bytes':pa.array([b'\x00\xff'],pa.binary()),
}),out+'typed.parquet',version='2.6')

// storage-blob.js key|sas|bearer|account-sas: @azure/storage-blob, unmodified,
// against the account in STORAGE_ACCT_CONN_STRING.  Ends with "done" on stdout.
'use strict';
const assert = require('node:assert/strict');
const blob = require('@azure/storage-blob');

// Some clients never call back when an answer surprises them; then node would
// end with 0 and nothing done.
let finished = false;
const limit = setTimeout(() => {
  console.error('not finished in time');
  process.exit(1);
}, 60000);
process.on('exit', (code) => {
  if (!finished && code === 0) {
    console.error('ended without having finished');
    process.exitCode = 1;
  }
});

const text = process.env.STORAGE_ACCT_CONN_STRING;
const part = Object.fromEntries(text.split(';').map((p) => {
  const at = p.indexOf('=');
  return [p.slice(0, at), p.slice(at + 1)];
}));
const url = part.BlobEndpoint.replace(/\/$/, '');
const key = new blob.StorageSharedKeyCredential(part.AccountName,
    part.AccountKey);
const quick = { retryOptions: { maxTries: 1 } };

async function code(promise, status, name) {
  try {
    await promise;
  } catch (e) {
    assert.equal(e.name, 'RestError', String(e));
    // Of what has no body the header tells.
    assert.equal(`${e.statusCode} ${e.code ?? e.details?.errorCode}`,
        `${status} ${name}`);
    return e;
  }
  assert.fail(`succeeded, and ${name} was expected`);
}

async function all(pages) {
  const list = [];
  for await (const one of pages) list.push(one);
  return list;
}

// What every credential can do that reaches the blobs of a container.
async function blobs(container) {
  const one = container.getBlockBlobClient('dir/one & <only>.txt');
  const put = await one.upload('hello world', 11, {
    blobHTTPHeaders: { blobContentType: 'text/plain',
      blobContentLanguage: 'en', blobCacheControl: 'no-store' },
    metadata: { Colour: 'blue' },
  });
  assert.match(put.etag, /^"0x8[0-9A-F]{14}"$/);
  assert.equal(put.contentMD5.toString('base64'), 'XrY7u+Ae7tCTyyK7j1rNww==');
  assert.ok(put.requestId && put.clientRequestId && put.date);
  assert.equal(put.isServerEncrypted, true);
  let got = await one.getProperties();
  assert.equal(got.contentLength, 11);
  assert.equal(got.contentType, 'text/plain');
  assert.equal(got.contentLanguage, 'en');
  assert.equal(got.cacheControl, 'no-store');
  assert.equal(got.blobType, 'BlockBlob');
  assert.equal(got.etag, put.etag);
  assert.equal(+got.lastModified, +put.lastModified);
  assert.deepEqual(got.metadata, { colour: 'blue' });
  assert.equal(got.leaseState, 'available');
  assert.equal(String(await one.downloadToBuffer()), 'hello world');
  assert.equal(String(await one.downloadToBuffer(6, 3)), 'wor');
  const range = await one.download(4, 5, { rangeGetContentMD5: true });
  assert.equal(range.contentRange, 'bytes 4-8/11');
  assert.equal(range.contentLength, 5);
  assert.equal(range.contentMD5.toString('base64'), 'yCEzKmF9GGtUHw5sKa97Yw==');
  assert.equal(range.blobContentMD5.toString('base64'),
      'XrY7u+Ae7tCTyyK7j1rNww==');
  assert.equal((await all(range.readableStreamBody)).join(''), 'o wor');
  await code(one.download(11), 416, 'InvalidRange');

  // Conditions.
  await code(one.upload('x', 1, { conditions: { ifNoneMatch: '*' } }), 409,
      'BlobAlreadyExists');
  await code(one.upload('x', 1, { conditions: { ifMatch: '"0x8D1"' } }), 412,
      'ConditionNotMet');
  await code(one.getProperties({ conditions: { ifMatch: '"0x8D1"' } }), 412,
      'ConditionNotMet');
  await code(one.download(0, undefined,
      { conditions: { ifNoneMatch: put.etag } }), 304, 'ConditionNotMet');
  await code(one.download(0, undefined,
      { conditions: { ifModifiedSince: new Date(Date.now() + 1000) } }), 304,
      'ConditionNotMet');
  await code(one.download(0, undefined,
      { conditions: { ifUnmodifiedSince: new Date(0) } }), 412,
      'ConditionNotMet');
  const again = await one.upload('hello again', 11,
      { conditions: { ifMatch: put.etag } });
  assert.notEqual(again.etag, put.etag);
  await code(one.upload('abc', 3, { conditions: { ifMatch: put.etag } }), 412,
      'ConditionNotMet');

  // Metadata and headers.
  await one.setMetadata({ a_b: '1', ab: '2', a1: '3', Z: 'last' });
  got = await one.getProperties();
  assert.deepEqual(got.metadata, { a_b: '1', ab: '2', a1: '3', z: 'last' });
  await one.setHTTPHeaders({ blobContentType: 'application/json',
    blobContentDisposition: 'attachment; filename="a b"' });
  got = await one.getProperties();
  assert.equal(got.contentType, 'application/json');
  assert.equal(got.contentDisposition, 'attachment; filename="a b"');
  assert.equal(got.contentLanguage, undefined);
  await code(one.setMetadata({ 'no-name': '1' }), 400, 'InvalidMetadata');

  // Blocks: by hand, and as the client cuts a large body.
  const blocks = container.getBlockBlobClient('blocks');
  const id = (n) => Buffer.from(`block-${n}`).toString('base64');
  await blocks.stageBlock(id(1), 'one,', 4);
  await blocks.stageBlock(id(2), 'two,', 4);
  await blocks.stageBlock(id(3), 'three,', 6);
  await code(blocks.getProperties(), 404, 'BlobNotFound');
  await code(blocks.download(), 404, 'BlobNotFound');
  let list = await blocks.getBlockList('all');
  assert.deepEqual(list.uncommittedBlocks.map((b) => b.size), [4, 4, 6]);
  await blocks.commitBlockList([id(3), id(1), id(3)],
      { metadata: { n: '3' }, blobHTTPHeaders: { blobContentType: 'a/b' } });
  assert.equal(String(await blocks.downloadToBuffer()), 'three,one,three,');
  list = await blocks.getBlockList('all');
  assert.deepEqual(list.committedBlocks,
      [3, 1, 3].map((n) => ({ name: id(n), size: n === 1 ? 4 : 6 })));
  assert.deepEqual(list.uncommittedBlocks, []);
  await code(blocks.commitBlockList([id(2)]), 400, 'InvalidBlockList');
  await blocks.stageBlock(id(4), 'four', 4);
  await blocks.commitBlockList([id(1), id(4)]);
  assert.equal(String(await blocks.downloadToBuffer()), 'one,four');
  assert.equal((await blocks.getProperties()).contentType,
      'application/octet-stream');
  await code(blocks.stageBlock('bm8=', 'x', 1).then(
      () => blocks.stageBlock('bG9uZ2Vy', 'x', 1)), 400,
  'InvalidBlobOrBlock');
  const large = Buffer.alloc(3 * 1024 * 1024 + 17);
  for (let i = 0; i < large.length; i += 4) {
    large.writeUInt32LE(Math.imul(i, 2654435761) >>> 0,
        Math.min(i, large.length - 4));
  }
  const big = container.getBlockBlobClient('big');
  await big.uploadData(large, { blockSize: 700000, maxSingleShotSize: 1000,
    concurrency: 3 });
  assert.equal((await big.getProperties()).contentLength, large.length);
  assert.ok(large.equals(await big.downloadToBuffer(0, undefined,
      { blockSize: 999999, concurrency: 3 })));
  assert.ok(large.subarray(699990, 700010).equals(
      await big.downloadToBuffer(699990, 20)));
  await big.uploadData(large, { maxSingleShotSize: 100 << 20 });
  assert.ok(large.equals(await big.downloadToBuffer()));

  // Append.
  const log = container.getAppendBlobClient('log.txt');
  await log.create({ blobHTTPHeaders: { blobContentType: 'text/x-log' } });
  let added = await log.appendBlock('first\n', 6);
  assert.equal(added.blobAppendOffset, '0');
  added = await log.appendBlock('second\n', 7,
      { conditions: { appendPosition: 6 } });
  assert.equal(added.blobAppendOffset, '6');
  assert.equal(added.blobCommittedBlockCount, 2);
  await code(log.appendBlock('x', 1, { conditions: { appendPosition: 6 } }),
      412, 'AppendPositionConditionNotMet');
  await code(log.appendBlock('x', 1, { conditions: { maxSize: 13 } }), 412,
      'MaxBlobSizeConditionNotMet');
  await code(log.createIfNotExists().then((r) => {
    assert.equal(r.succeeded, false);
    return container.getBlockBlobClient('log.txt').stageBlock('AAAA', 'x', 1);
  }), 409, 'InvalidBlobType');
  assert.equal(String(await log.downloadToBuffer()), 'first\nsecond\n');
  assert.equal((await log.getProperties()).blobType, 'AppendBlob');

  // Lists.
  const names = [];
  for (let i = 0; i < 12; i++) {
    const name = `tree/${i % 3}/leaf-${String(i).padStart(2, '0')}`;
    await container.getBlockBlobClient(name).upload('', 0);
    names.push(name);
  }
  names.sort();
  let seen = [], pages = 0;
  for await (const page of container.listBlobsFlat({ prefix: 'tree/' })
      .byPage({ maxPageSize: 5 })) {
    pages++;
    seen.push(...page.segment.blobItems.map((b) => b.name));
  }
  assert.deepEqual(seen, names);
  assert.equal(pages, 3);
  seen = await all(container.listBlobsByHierarchy('/', { prefix: 'tree/' }));
  assert.deepEqual(seen.map((b) => `${b.kind} ${b.name}`),
      ['prefix tree/0/', 'prefix tree/1/', 'prefix tree/2/']);
  seen = [];
  for await (const page of container.listBlobsByHierarchy('/')
      .byPage({ maxPageSize: 2 })) {
    seen.push(...(page.segment.blobPrefixes || []).map((b) => b.name),
        ...page.segment.blobItems.map((b) => b.name));
  }
  assert.deepEqual(seen.sort(), ['big', 'blocks', 'dir/', 'log.txt', 'tree/']);
  const [first] = await all(container.listBlobsFlat(
      { prefix: 'dir/', includeMetadata: true }));
  assert.equal(first.name, 'dir/one & <only>.txt');
  assert.deepEqual(first.metadata,
      { a_b: '1', ab: '2', a1: '3', Z: 'last' });
  assert.equal(first.properties.contentLength, 11);
  assert.equal(first.properties.contentType, 'application/json');
  assert.equal(first.properties.blobType, 'BlockBlob');

  // Names.
  for (const name of ['Zürich/ÿ 100%.txt', "a'; DROP TABLE blob;--",
    'with?query#hash', 'tab\tand\u0001control', 'emoji 🎈', 'a//b', '.hidden',
    'plus+plus', 'x'.repeat(1024)]) {
    const odd = container.getBlockBlobClient(name);
    await odd.upload(name, Buffer.byteLength(name));
    assert.equal(String(await odd.downloadToBuffer()), name);
    seen = await all(container.listBlobsFlat({ prefix: name.slice(0, 2) }));
    assert.ok(seen.some((b) => b.name === name), name);
    await odd.delete();
  }
  await code(container.getBlockBlobClient('x'.repeat(1025)).upload('', 0), 400,
      'OutOfRangeInput');

  // Deleting.
  await one.delete({ deleteSnapshots: 'include' });
  await code(one.delete(), 404, 'BlobNotFound');
  assert.equal((await one.deleteIfExists()).succeeded, false);
  assert.equal(await one.exists(), false);
  for await (const b of container.listBlobsFlat()) {
    await container.deleteBlob(b.name);
  }
  assert.deepEqual(await all(container.listBlobsFlat()), []);
}

// What needs the account itself, by key or by role.
async function containers(service) {
  const name = `made-${Date.now()}`;
  const one = service.getContainerClient(name);
  await code(one.getProperties(), 404, 'ContainerNotFound');
  assert.equal(await one.exists(), false);
  await one.create({ metadata: { why: 'test' } });
  await code(one.create(), 409, 'ContainerAlreadyExists');
  assert.equal((await one.createIfNotExists()).succeeded, false);
  assert.deepEqual((await one.getProperties()).metadata, { why: 'test' });
  await one.setMetadata({ why: 'not' });
  const found = await all(service.listContainers(
      { prefix: name.slice(0, -1), includeMetadata: true }));
  assert.deepEqual(found.map((c) => c.name), [name]);
  assert.deepEqual(found[0].metadata, { why: 'not' });
  assert.equal((await one.getAccessPolicy()).blobPublicAccess, undefined);
  await code(service.createContainer('UPPER'), 400, 'InvalidResourceName');
  await code(service.createContainer('ab'), 400, 'OutOfRangeInput');
  const properties = await service.getProperties();
  assert.equal(properties.deleteRetentionPolicy.enabled, false);
  const info = await service.getAccountInfo();
  assert.equal(info.accountKind, 'StorageV2');
  await blobs(one);
  await one.delete();
  await code(one.delete(), 404, 'ContainerNotFound');
  await code(one.getBlobClient('x').download(), 404, 'ContainerNotFound');
}

const runs = {
  async key() {
    await containers(new blob.BlobServiceClient(url, key, quick));
    await containers(blob.BlobServiceClient.fromConnectionString(text, quick));
    const wrong = new blob.StorageSharedKeyCredential(part.AccountName,
        Buffer.from('wrong').toString('base64'));
    const e = await code(new blob.BlobServiceClient(url, wrong, quick)
        .getProperties(), 403, 'AuthenticationFailed');
    assert.match(e.message, /^Server failed to authenticate the request/);
  },

  async sas() {
    const name = `sas-${Date.now()}`;
    const owner = new blob.ContainerClient(`${url}/${name}`, key, quick);
    await owner.create();
    const later = new Date(Date.now() + 3600e3);
    const make = async (permissions, more) => new blob.ContainerClient(
        await owner.generateSasUrl({ expiresOn: later,
          permissions: blob.ContainerSASPermissions.parse(permissions),
          ...more }), undefined, quick);
    const query = (options) => blob.generateBlobSASQueryParameters(
        { containerName: name, expiresOn: later, ...options }, key).toString();

    await blobs(await make('racwdl'));
    for (const version of ['2015-04-05', '2018-11-09', '2021-12-02',
      '2026-04-06']) {
      await blobs(await make('racwdl', { version,
        startsOn: new Date(Date.now() - 60e3) }));
    }
    const target = owner.getBlockBlobClient('kept');
    await target.upload('kept', 4);

    // Only what the letters say.
    const mismatch = [403, 'AuthorizationPermissionMismatch'];
    let other = await make('rl');
    assert.equal(String(await other.getBlobClient('kept').downloadToBuffer()),
        'kept');
    await code(other.getBlockBlobClient('new').upload('', 0), ...mismatch);
    await code(other.deleteBlob('kept'), ...mismatch);
    other = await make('c');
    await other.getBlockBlobClient('new').upload('', 0);
    await code(other.getBlockBlobClient('new').upload('', 0), ...mismatch);
    await code(all(other.listBlobsFlat()), ...mismatch);
    other = await make('w');
    await other.getBlockBlobClient('new').upload('1', 1);
    await code(other.getBlobClient('new').download(), ...mismatch);
    other = await make('racwdl');
    await code(other.delete(), ...mismatch);
    await code(other.getProperties(), ...mismatch);
    await code(other.create(), ...mismatch);

    // Only when.
    await code((await make('r', { expiresOn: new Date(Date.now() - 1000),
      startsOn: new Date(Date.now() - 2000) })).getBlobClient('kept')
        .download(), 403, 'AuthenticationFailed');
    await code((await make('r', { startsOn: new Date(Date.now() + 60e3) }))
        .getBlobClient('kept').download(), 403, 'AuthenticationFailed');

    // Only from where, and how.
    await (await make('r', { ipRange: { start: '127.0.0.1' },
      protocol: blob.SASProtocol.Https })).getBlobClient('kept').download();
    await code((await make('r', { ipRange: { start: '10.0.0.1',
      end: '10.0.0.9' } })).getBlobClient('kept').download(), 403,
    'AuthorizationSourceIPMismatch');

    // Only one blob; with headers of its own.
    const sas = query({ blobName: 'kept', contentType: 'x/y',
      cacheControl: 'max-age=5',
      permissions: blob.BlobSASPermissions.parse('r') });
    const single = new blob.BlobClient(`${target.url}?${sas}`, undefined,
        quick);
    const got = await single.download();
    assert.equal(got.contentType, 'x/y');
    assert.equal(got.cacheControl, 'max-age=5');
    await code(new blob.BlobClient(`${owner.url}/new?${sas}`, undefined, quick)
        .download(), 403, 'AuthenticationFailed');

    // Not if it was altered.
    const altered = (await make('r')).url.replace('sp=r', 'sp=racwdl');
    await code(new blob.ContainerClient(altered, undefined, quick)
        .deleteBlob('kept'), 403, 'AuthenticationFailed');

    // Nobody at all.
    await code(new blob.BlobClient(target.url, undefined, quick).download(),
        401, 'NoAuthenticationInformation');
    await owner.delete();
  },

  async 'account-sas'() {
    const service = new blob.BlobServiceClient(url, key, quick);
    const make = (permissions, types, services = 'b') => new blob.BlobServiceClient(
        service.generateAccountSasUrl(new Date(Date.now() + 3600e3),
            blob.AccountSASPermissions.parse(permissions), types, { services }),
        undefined, quick);
    await containers(make('racwdl', 'sco'));
    await code(make('racwdl', 'co').getProperties(), 403,
        'AuthorizationResourceTypeMismatch');
    await code(make('w', 'sco').getProperties(), 403,
        'AuthorizationPermissionMismatch');
    await code(make('racwdl', 'sco', 'q').getProperties(), 403,
        'AuthorizationServiceMismatch');
    const sas = make('racwdl', 'sco').url.split('?')[1];
    const named = blob.BlobServiceClient.fromConnectionString(
        `BlobEndpoint=${url};SharedAccessSignature=${sas}`, quick);
    assert.equal((await named.getProperties()).deleteRetentionPolicy.enabled,
        false);
  },

  async bearer() {
    const { ClientSecretCredential } = require('@azure/identity');
    const credential = (secret) => new ClientSecretCredential(
        process.env.AZURE_TENANT_ID, process.env.AZURE_CLIENT_ID, secret,
        { retryOptions: { maxRetries: 0 } });
    await containers(new blob.BlobServiceClient(url,
        credential(process.env.AZURE_CLIENT_SECRET), quick));
    const fake = { getToken: async () => ({ token: 'a.b.c',
      expiresOnTimestamp: Date.now() + 3600e3 }) };
    await code(new blob.BlobServiceClient(url, fake, quick).getProperties(),
        401, 'InvalidAuthenticationInfo');
  },
};

runs[process.argv[2]]().then(() => {
  finished = true;
  clearTimeout(limit);
  console.log('done');
}, (e) => {
  console.error(e);
  process.exit(1);
});

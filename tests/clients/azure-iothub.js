// azure-iothub.js: the service client of an IoT hub, as its users write it; see
// azure-iothub.bats.  CONNECTION is a connection string of the hub; KEYS, of the
// steps that need them, are its policies as Resource Manager lists them.
'use strict';
const { assert, run } = require('./steps.js');
const { Registry, JobClient, SharedAccessSignature } = require('azure-iothub');

const connection = process.env.CONNECTION;
const registry = Registry.fromConnectionString(connection);
const jobs = JobClient.fromConnectionString(connection);
const key = Buffer.from('0123456789abcdef').toString('base64');
const other = Buffer.from('fedcba9876543210').toString('base64');

// What rejects with an error of that class of the client's.
async function fails(promise, name, text = '') {
    let error;
    try {
        await promise;
    } catch (e) {
        error = e;
    }
    assert.ok(error, `no ${name}`);
    assert.strictEqual(error.name, name, String(error.stack));
    const body = String(error.responseBody || error.message);
    assert.ok(body.includes(text), `${body} has no ${text}`);
    return error;
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function until(question, good) {
    let answer;
    for (let i = 0; i < 300; i++) {
        answer = await question();
        if (good(answer))
            return answer;
        await pause(30);
    }
    throw new Error(`it stays ${JSON.stringify(answer)}`);
}

async function finished(job) {
    const done = await until(
        async () => registry.getJob(job.jobId),
        (now) => !['enqueued', 'running', 'queued'].includes(now.status));
    assert.strictEqual(done.jobId, job.jobId);
    return done;
}

async function pages(query) {
    const all = [];
    let first = true;
    while (first || query.hasMoreResults) {
        // Without its token next() begins again (CLIENTS 2).
        const { result } = await query.next(query.continuationToken);
        all.push(result);
        first = false;
    }
    return all;
}

const steps = {
    async identities() {
        const made = (await registry.create({ deviceId: 'd1', status: 'disabled',
            statusReason: 'not yet',
            authentication: { symmetricKey: { primaryKey: key, secondaryKey: other } } })).responseBody;
        assert.strictEqual(made.deviceId, 'd1');
        assert.strictEqual(made.status, 'disabled');
        assert.strictEqual(made.authentication.symmetricKey.primaryKey, key);
        assert.match(Buffer.from(made.etag, 'base64').toString(), /^[0-9]+$/);
        await fails(registry.create({ deviceId: 'd1' }),
            'DeviceAlreadyExistsError', 'DeviceAlreadyExists');
        made.status = 'enabled';
        const changed = (await registry.update(made)).responseBody;
        assert.strictEqual(changed.status, 'enabled');
        assert.notStrictEqual(changed.etag, made.etag);
        const read = (await registry.get('d1')).responseBody;
        assert.strictEqual(read.etag, changed.etag);
        assert.strictEqual(read.generationId, made.generationId);
        assert.strictEqual(read.authentication.symmetricKey.secondaryKey, other);
        const listed = (await registry.list()).responseBody;
        assert.ok(listed.some((d) => d.deviceId === 'd1'));
        await fails(registry.get('nobody'), 'DeviceNotFoundError', 'DeviceNotFound');
        await fails(registry.update({ deviceId: 'nobody' }), 'DeviceNotFoundError');
        const gone = await registry.delete('d1');
        assert.strictEqual(gone.httpResponse.statusCode, 204);
        await fails(registry.get('d1'), 'DeviceNotFoundError');
        await fails(registry.delete('d1'), 'DeviceNotFoundError');
        // Names that a path must not be confused by.
        for (const deviceId of ['a#b%c?d', "it's", 'x:y;z', '$%$'])
            assert.strictEqual((await registry.create({ deviceId })).responseBody.deviceId, deviceId);
        assert.strictEqual((await registry.get('a#b%c?d')).responseBody.deviceId, 'a#b%c?d');
    },

    async x509() {
        const thumbprint = '0123456789ABCDEF0123456789ABCDEF01234567';
        const self = (await registry.create({ deviceId: 'x1', authentication: {
            type: 'selfSigned', x509Thumbprint: { primaryThumbprint: thumbprint,
                secondaryThumbprint: thumbprint } } })).responseBody;
        assert.strictEqual(self.authentication.type, 'selfSigned');
        assert.strictEqual(self.authentication.x509Thumbprint.primaryThumbprint, thumbprint);
        assert.ok(!self.authentication.symmetricKey.primaryKey);
        const ca = (await registry.create({ deviceId: 'x2',
            authentication: { type: 'certificateAuthority' } })).responseBody;
        assert.strictEqual(ca.authentication.type, 'certificateAuthority');
        await fails(registry.create({ deviceId: 'x3', authentication: { type: 'selfSigned',
            x509Thumbprint: { primaryThumbprint: 'no hex' } } }), 'ArgumentError', 'StringIsNotThumbprint');
    },

    async bulk() {
        const ids = [...Array(100).keys()].map((i) => `b${i}`);
        const added = await registry.addDevices(ids.map((deviceId) => ({ deviceId,
            status: 'enabled', authentication: { symmetricKey: { primaryKey: key, secondaryKey: key } } })));
        assert.strictEqual(added.responseBody.isSuccessful, true);
        assert.deepStrictEqual(added.responseBody.errors, []);
        assert.strictEqual((await registry.get('b99')).responseBody.authentication.symmetricKey.primaryKey, key);
        // Part of it fails: the client gives an error whose body says what.
        const part = await fails(registry.addDevices([{ deviceId: 'b1', status: 'enabled' },
            { deviceId: 'fresh', status: 'enabled' }]), 'ArgumentError');
        const said = JSON.parse(part.responseBody);
        assert.strictEqual(said.isSuccessful, false);
        assert.deepStrictEqual(said.errors.map((e) => [e.deviceId, e.errorCode]),
            [['b1', 'DeviceAlreadyExists']]);
        assert.strictEqual((await registry.get('fresh')).responseBody.deviceId, 'fresh');
        // By ETag, and by force.
        const b0 = (await registry.get('b0')).responseBody, b1 = (await registry.get('b1')).responseBody;
        const stale = { ...b0, etag: 'MQ==' };
        b0.status = b1.status = stale.status = 'disabled';
        const updated = await registry.updateDevices([b0, b1], false);
        assert.strictEqual(updated.responseBody.isSuccessful, true);
        assert.strictEqual((await registry.get('b0')).responseBody.status, 'disabled');
        const refusal = await fails(registry.updateDevices([stale], false), 'ArgumentError');
        assert.strictEqual(JSON.parse(refusal.responseBody).errors[0].errorCode, 'PreconditionFailed');
        await fails(registry.removeDevices([stale], false), 'ArgumentError');
        stale.status = 'enabled';
        assert.strictEqual((await registry.updateDevices([stale], true)).responseBody.isSuccessful, true);
        assert.strictEqual((await registry.get('b0')).responseBody.status, 'enabled');
        const removed = await registry.removeDevices(ids.map((deviceId) => ({ deviceId })), true);
        assert.strictEqual(removed.responseBody.isSuccessful, true);
        await fails(registry.get('b50'), 'DeviceNotFoundError');
        // The client itself lets no more than 100 go.
        await fails(registry.addDevices([...Array(101).keys()].map((i) => ({ deviceId: `c${i}`, status: 'enabled' }))),
            'ArgumentError', 'invalid size of 101');
    },

    async twins() {
        await registry.create({ deviceId: 't1' });
        const twin = (await registry.getTwin('t1')).responseBody;
        assert.strictEqual(twin.etag, 'AAAAAAAAAAE=');
        assert.deepStrictEqual(twin.tags, {});
        assert.strictEqual(twin.properties.desired.$version, 1);
        const next = (await registry.updateTwin('t1', { tags: { site: 'x', drop: 1 },
            properties: { desired: { rate: 5 } } }, twin.etag)).responseBody;
        assert.deepStrictEqual(next.tags, { site: 'x', drop: 1 });
        assert.strictEqual(next.properties.desired.rate, 5);
        assert.strictEqual(next.properties.desired.$version, 2);
        await fails(registry.updateTwin('t1', { tags: { site: 'y' } }, twin.etag), 'InvalidEtagError', 'ETag mismatch');
        assert.strictEqual((await registry.getTwin('t1')).responseBody.tags.site, 'x');
        const forced = (await registry.updateTwin('t1', { tags: { drop: null } }, '*')).responseBody;
        assert.deepStrictEqual(forced.tags, { site: 'x' });
        // A twin updates itself with the ETag that it has.
        const self = (await registry.getTwin('t1')).responseBody;
        await self.update({ tags: { site: 'z' } });
        assert.strictEqual(self.tags.site, 'z');
        await fails(registry.getTwin('nobody'), 'DeviceNotFoundError');
        await fails(registry.updateTwin('t1', { tags: { 'a.b': 1 } }, '*'), 'ArgumentError');
    },

    async queries() {
        const ids = [...Array(100).keys()].map((i) => `q${i}`);
        for (const part of [ids.slice(0, 60), ids.slice(60)])
            await registry.addDevices(part.map((deviceId) => ({ deviceId, status: 'enabled' })));
        const query = registry.createQuery("SELECT deviceId FROM devices WHERE status = 'enabled'", 30);
        const all = await pages(query);
        const seen = all.flat().map((d) => d.deviceId).filter((id) => /^q[0-9]+$/.test(id));
        assert.deepStrictEqual(seen.sort(), [...ids].sort());
        assert.ok(all.length >= 4, `${all.length} pages`);
        assert.ok(all.slice(0, -1).every((page) => page.length === 30));
        const twins = registry.createQuery("SELECT * FROM devices WHERE deviceId IN ['q1', 'q2']", 1);
        const { result: one, message } = await twins.nextAsTwin();
        assert.strictEqual(message.headers['x-ms-item-type'].toLowerCase(), 'twin');
        assert.strictEqual(one[0].deviceId, 'q1');
        const { result: two } = await twins.nextAsTwin();
        assert.strictEqual(two[0].deviceId, 'q2');
        assert.strictEqual(twins.hasMoreResults, false);
        await two[0].update({ tags: { by: 'query' } });
        const { result: found } = await registry.createQuery("SELECT deviceId FROM devices WHERE tags.by = 'query'").next();
        assert.deepStrictEqual(found, [{ deviceId: 'q2' }]);
        const { result: count } = await registry.createQuery(
            "SELECT COUNT() AS n FROM devices WHERE deviceId IN ['q1', 'q2', 'q3']").next();
        assert.deepStrictEqual(count, [{ n: 3 }]);
        await fails(registry.createQuery('SELECT FROM devices').next(), 'ArgumentError', 'ErrorCode:ArgumentInvalid');
        // Another query's token.
        const wrong = registry.createQuery('SELECT * FROM devices', 1);
        await fails(wrong.next(query.continuationToken || Buffer.from('nonsense').toString('base64')), 'ArgumentError');
    },

    async modules() {
        await registry.create({ deviceId: 'm1' });
        const made = (await registry.addModule({ deviceId: 'm1', moduleId: 'one', managedBy: 'me' })).responseBody;
        assert.strictEqual(made.managedBy, 'me');
        assert.ok(made.authentication.symmetricKey.primaryKey);
        // The second form of errors (CONTRACT 11.3), whose class goes by the status.
        const twice = await fails(registry.addModule({ deviceId: 'm1', moduleId: 'one' }), 'DeviceAlreadyExistsError');
        assert.strictEqual(JSON.parse(twice.responseBody).errorCode, 409301);
        assert.strictEqual(twice.response.headers['iothub-errorcode'], 'ModuleAlreadyExistsOnDevice');
        await registry.addModule({ deviceId: 'm1', moduleId: 'two' });
        const listed = (await registry.getModulesOnDevice('m1')).responseBody;
        assert.deepStrictEqual(listed.map((m) => m.moduleId), ['one', 'two']);
        made.managedBy = 'you';
        const changed = (await registry.updateModule(made)).responseBody;
        assert.strictEqual(changed.managedBy, 'you');
        await fails(registry.updateModule(made), 'InvalidEtagError');
        assert.strictEqual((await registry.updateModule(made, true)).responseBody.managedBy, 'you');
        const twin = (await registry.getModuleTwin('m1', 'one')).responseBody;
        assert.strictEqual(twin.moduleId, 'one');
        const next = (await registry.updateModuleTwin('m1', 'one', { properties: { desired: { x: 1 } } }, twin.etag)).responseBody;
        assert.strictEqual(next.properties.desired.x, 1);
        await registry.removeModule('m1', 'two');
        // ModuleNotFound has no class of its own in this client.
        await fails(registry.getModule('m1', 'two'), 'Error', 'ModuleNotFound');
        // By ETag only with a callback: the promise form refuses its own.
        const remove = (module) => new Promise((done, fail) =>
            registry.removeModule(module, (e) => e ? fail(e) : done()));
        const last = (await registry.getModule('m1', 'one')).responseBody;
        await fails(remove({ ...last, etag: 'MQ==' }), 'InvalidEtagError');
        await remove(last);
        assert.deepStrictEqual((await registry.getModulesOnDevice('m1')).responseBody, []);
    },

    async configurations() {
        await registry.create({ deviceId: 'conf1' });
        await registry.updateTwin('conf1', { tags: { group: 'conf' } }, '*');
        const made = (await registry.addConfiguration({ id: 'fw', schemaVersion: '1.0', labels: { a: 'b' },
            priority: 3, targetCondition: "tags.group = 'conf'",
            content: { deviceContent: { 'properties.desired.fw': { v: 1 } } },
            metrics: { queries: { all: 'SELECT deviceId FROM devices WHERE properties.desired.fw.v = 1' } } })).responseBody;
        assert.strictEqual(made.etag, 'MQ==');
        const twin = await until(async () => (await registry.getTwin('conf1')).responseBody,
            (t) => t.properties.desired.fw);
        assert.deepStrictEqual(twin.properties.desired.fw, { v: 1 });
        const counted = await until(async () => (await registry.getConfiguration('fw')).responseBody,
            (c) => c.metrics.results.all === 1);
        assert.strictEqual(counted.systemMetrics.results.appliedCount, 1);
        assert.strictEqual(counted.systemMetrics.results.targetedCount, 1);
        const { result } = await registry.createQuery(
            "SELECT deviceId FROM devices WHERE configurations.[[fw]].status = 'Applied'").next();
        assert.deepStrictEqual(result, [{ deviceId: 'conf1' }]);
        counted.priority = 7;
        const changed = (await registry.updateConfiguration(counted)).responseBody;
        assert.strictEqual(changed.priority, 7);
        await fails(registry.updateConfiguration(counted), 'InvalidEtagError');
        await registry.updateConfiguration(counted, true);
        assert.deepStrictEqual((await registry.getConfigurations()).responseBody.map((c) => c.id), ['fw']);
        await registry.removeConfiguration('fw');
        await assert.rejects(registry.getConfiguration('fw'), (e) => /ConfigurationNotFound/.test(e.responseBody || e.message));
        assert.deepStrictEqual((await registry.getTwin('conf1')).responseBody.properties.desired.fw, { v: 1 });
    },

    async edge() {
        await registry.create({ deviceId: 'edge1', capabilities: { iotEdge: true } });
        assert.deepStrictEqual((await registry.getModulesOnDevice('edge1')).responseBody.map((m) => m.moduleId),
            ['$edgeAgent', '$edgeHub']);
        const content = { modulesContent: {
            $edgeAgent: { 'properties.desired': { schemaVersion: '1.1', modules: { temp: { version: '1.0' } } } },
            $edgeHub: { 'properties.desired': { routes: {} } },
            temp: { 'properties.desired': { a: 1 } } } };
        await registry.applyConfigurationContentOnDevice('edge1', content);
        assert.deepStrictEqual((await registry.getModuleTwin('edge1', '$edgeAgent')).responseBody.properties.desired.modules,
            { temp: { version: '1.0' } });
        assert.strictEqual((await registry.getModuleTwin('edge1', 'temp')).responseBody.properties.desired.a, 1);
        // A deployment takes it over, and its module is then found by a query.
        await registry.updateTwin('edge1', { tags: { floor: 'one' } }, '*');
        await registry.addConfiguration({ id: 'edgedep', schemaVersion: '1.0', priority: 1,
            targetCondition: "tags.floor = 'one'", content: { modulesContent: {
                $edgeAgent: { 'properties.desired': { schemaVersion: '1.1', modules: { cam: { version: '2.0' } } } },
                $edgeHub: { 'properties.desired': { routes: {} } } } } });
        const agent = await until(async () => (await registry.getModuleTwin('edge1', '$edgeAgent')).responseBody,
            (t) => t.properties.desired.modules.cam);
        assert.deepStrictEqual(agent.properties.desired.modules, { cam: { version: '2.0' } });
        const targeted = await until(async () => (await registry.getConfiguration('edgedep')).responseBody,
            (c) => c.systemMetrics.results.targetedCount === 1);
        assert.ok('reportedSuccessfulCount' in targeted.systemMetrics.results);
        await registry.removeConfiguration('edgedep');
        const { result } = await registry.createQuery(
            "SELECT moduleId FROM devices.modules WHERE deviceId = 'edge1'").next();
        assert.deepStrictEqual(result.map((m) => m.moduleId).sort(), ['$edgeAgent', '$edgeHub', 'cam', 'temp']);
        const leaf = (await registry.create({ deviceId: 'leaf1',
            deviceScope: (await registry.get('edge1')).responseBody.deviceScope })).responseBody;
        assert.match(leaf.deviceScope, /^ms-azure-iot-edge:\/\/edge1-/);
    },

    async statistics() {
        const before = (await registry.getRegistryStatistics()).responseBody;
        await registry.create({ deviceId: 's1' });
        await registry.create({ deviceId: 's2', status: 'disabled' });
        const after = (await registry.getRegistryStatistics()).responseBody;
        assert.strictEqual(after.totalDeviceCount, before.totalDeviceCount + 2);
        assert.strictEqual(after.enabledDeviceCount, before.enabledDeviceCount + 1);
        assert.strictEqual(after.disabledDeviceCount, before.disabledDeviceCount + 1);
    },

    async strangers() {
        const wrong = Registry.fromConnectionString(connection.replace(/SharedAccessKey=.*/, `SharedAccessKey=${key}`));
        await fails(wrong.get('d1'), 'UnauthorizedError', 'IotHubUnauthorizedAccess');
        await fails(wrong.list(), 'UnauthorizedError');
        await fails(wrong.createQuery('SELECT * FROM devices').next(), 'UnauthorizedError');
        const nobody = Registry.fromConnectionString(connection.replace(/SharedAccessKeyName=[^;]*/, 'SharedAccessKeyName=nobody'));
        await fails(nobody.get('d1'), 'UnauthorizedError', 'does not contain');
    },

    // A token of Entra ID, and a signature made beforehand.
    async tokens() {
        const { ClientSecretCredential } = require('@azure/identity');
        const host = /HostName=([^;]*)/.exec(connection)[1];
        const credential = new ClientSecretCredential(process.env.AZURE_TENANT_ID,
            process.env.AZURE_CLIENT_ID, process.env.AZURE_CLIENT_SECRET);
        const bearer = Registry.fromTokenCredential(host, credential);
        const made = (await bearer.create({ deviceId: 'k1' })).responseBody;
        assert.ok(made.authentication.symmetricKey.primaryKey);
        assert.strictEqual((await registry.get('k1')).responseBody.etag, made.etag);
        const { result } = await bearer.createQuery("SELECT deviceId FROM devices WHERE deviceId = 'k1'").next();
        assert.deepStrictEqual(result, [{ deviceId: 'k1' }]);
        const work = JobClient.fromTokenCredential(host, credential);
        await work.scheduleTwinUpdate('job-k', "deviceId = 'k1'", { tags: { k: 1 } }, new Date(), 300);
        await until(async () => (await registry.getTwin('k1')).responseBody.tags.k, (k) => k === 1);
        // A token for something else.
        const arm = { getToken: () => credential.getToken('https://management.azure.com/.default') };
        await fails(Registry.fromTokenCredential(host, arm).get('k1'), 'UnauthorizedError');
        // What a signature may do is what its policy may.
        const policies = JSON.parse(process.env.KEYS).value;
        const now = Math.floor(Date.now() / 1000);
        const signed = (name, until = now + 3600, sr = host) => Registry.fromSharedAccessSignature(
            SharedAccessSignature.create(sr, name,
                policies.find((p) => p.keyName === name).primaryKey, until).toString());
        const reader = signed('registryRead');
        assert.strictEqual((await reader.get('k1')).responseBody.etag, made.etag);
        await fails(reader.create({ deviceId: 'k2' }), 'UnauthorizedError', 'ErrorCode:IotHubUnauthorizedAccess');
        await fails(reader.delete('k1'), 'UnauthorizedError');
        await fails(signed('service').get('k1'), 'UnauthorizedError', 'ErrorCode:IotHubUnauthorizedAccess');
        assert.strictEqual((await signed('service').getTwin('k1')).responseBody.tags.k, 1);
        await fails(signed('device').getTwin('k1'), 'UnauthorizedError');
        await fails(signed('iothubowner', now - 3600).get('k1'), 'UnauthorizedError');
        await signed('registryReadWrite').delete('k1');
        await fails(registry.get('k1'), 'DeviceNotFoundError');
    },

    async exports() {
        await registry.addDevices(['e1', 'e2', 'e3'].map((deviceId) => ({ deviceId, status: 'enabled',
            authentication: { symmetricKey: { primaryKey: key, secondaryKey: key } } })));
        await registry.updateTwin('e1', { tags: { site: 'x' } }, '*');
        const { ContainerClient } = require('@azure/storage-blob');
        const uri = process.env.CONTAINER_URI;
        const container = new ContainerClient(uri);
        const job = await registry.exportDevicesToBlob(uri, false);
        assert.strictEqual(job.type, 'export');
        const done = await finished(job);
        assert.strictEqual(done.status, 'completed', JSON.stringify(done));
        const lines = (await container.getBlobClient('devices.txt').downloadToBuffer()).toString()
            .split(/\r?\n/).filter((l) => l).map((l) => JSON.parse(l));
        const e1 = lines.find((l) => l.id === 'e1' && !l.moduleId);
        assert.strictEqual(e1.tags.site, 'x');
        assert.strictEqual(e1.authentication.symmetricKey.primaryKey, key);
        const listed = (await registry.listJobs()).responseBody;
        assert.ok(listed.some((j) => j.jobId === job.jobId), JSON.stringify(listed));
        // Without keys: the first line is then a warning, and no JSON.
        const bare = await finished(await registry.exportDevicesToBlob(uri, true));
        assert.strictEqual(bare.status, 'completed', JSON.stringify(bare));
        assert.strictEqual(bare.excludeKeysInExport, true);
        const [warning, ...rest] = (await container.getBlobClient('devices.txt').downloadToBuffer())
            .toString().split(/\r?\n/).filter((l) => l);
        assert.ok(!warning.startsWith('{'), warning);
        assert.strictEqual(rest.length, lines.length);
        assert.ok(!rest.some((l) => l.includes(key)));
        // Back again, changed, deleted and wrong.
        const changes = [{ id: 'e2', importMode: 'delete', status: 'enabled' },
            { ...e1, importMode: 'createOrUpdate', tags: { site: 'y' } },
            { id: 'e9', importMode: 'create', status: 'enabled' },
            { id: 'nobody', importMode: 'update', status: 'enabled' }];
        await container.getBlockBlobClient('devices.txt').uploadData(
            Buffer.from(changes.map((c) => JSON.stringify(c)).join('\n') + '\n'));
        const back = await registry.importDevicesFromBlob(uri, uri);
        assert.strictEqual(back.type, 'import');
        const ended = await finished(back);
        assert.strictEqual(ended.status, 'completed', JSON.stringify(ended));
        await fails(registry.get('e2'), 'DeviceNotFoundError');
        assert.strictEqual((await registry.get('e9')).responseBody.deviceId, 'e9');
        assert.strictEqual((await registry.getTwin('e1')).responseBody.tags.site, 'y');
        const errors = (await container.getBlobClient('importErrors.log').downloadToBuffer()).toString();
        assert.match(errors, /nobody/);
        await assert.rejects(registry.getJob('00000000-0000-0000-0000-000000000000'),
            (e) => /JobNotFound/.test(e.responseBody || e.message));
        await assert.rejects(registry.exportDevicesToBlob(uri.replace(/sig=[^&]*/, 'sig=AAAA'), false),
            (e) => /BlobContainerValidationError/.test(e.responseBody || e.message));
    },

    // For the identity that the hub has, whose role azure-iothub.bats gives it.
    async identity() {
        const url = 'https://jobstore.blob.core.windows.net/uploads';
        const own = process.env.IDENTITY;
        await assert.rejects(registry.exportDevicesToBlobByIdentity(url, false, `${own}-not`),
            (e) => /BlobContainerValidationError/.test(e.responseBody || e.message));
        if (process.env.IDENTITY_REFUSED) {
            await assert.rejects(registry.exportDevicesToBlobByIdentity(url, false, own),
                (e) => /BlobContainerValidationError;Unauthorized/.test(e.responseBody || e.message));
            return;
        }
        await registry.addDevices(['i1', 'i2'].map((deviceId) => ({ deviceId, status: 'enabled' })));
        const job = await registry.exportDevicesToBlobByIdentity(url, false, own);
        assert.strictEqual(job.storageAuthenticationType, 'identityBased');
        const done = await finished(job);
        assert.strictEqual(done.status, 'completed', JSON.stringify(done));
        await registry.removeDevices([{ deviceId: 'i1' }], true);
        await fails(registry.get('i1'), 'DeviceNotFoundError');
        const back = await finished(await registry.importDevicesFromBlobByIdentity(url, url, own));
        assert.strictEqual(back.status, 'completed', JSON.stringify(back));
        assert.strictEqual((await registry.get('i1')).responseBody.deviceId, 'i1');
    },

    // With jobs that take their time: one at once, and it can be cancelled.
    async cancel() {
        const uri = process.env.CONTAINER_URI;
        const job = await registry.exportDevicesToBlob(uri, false);
        await assert.rejects(registry.exportDevicesToBlob(uri, false),
            (e) => /JobQuotaExceeded/.test(e.responseBody || e.message));
        await registry.cancelJob(job.jobId);
        const ended = await finished(job);
        assert.strictEqual(ended.status, 'cancelled', JSON.stringify(ended));
    },

    async scheduled() {
        await registry.addDevices(['j1', 'j2', 'j3'].map((deviceId) => ({ deviceId, status: 'enabled' })));
        for (const id of ['j1', 'j2'])
            await registry.updateTwin(id, { tags: { batch: 'j' } }, '*');
        const patch = { etag: '*', tags: { done: true }, properties: { desired: { level: 3 } } };
        const job = (await jobs.scheduleTwinUpdate('job-1', "tags.batch = 'j'", patch, new Date(), 300)).jobStatus;
        assert.strictEqual(job.jobId, 'job-1');
        const done = await until(async () => (await jobs.getJob('job-1')).jobStatus,
            (j) => !['enqueued', 'queued', 'scheduled', 'running', 'unknown'].includes(j.status));
        assert.strictEqual(done.status, 'completed', JSON.stringify(done));
        assert.strictEqual(done.type, 'scheduleUpdateTwin');
        assert.strictEqual(done.deviceJobStatistics.deviceCount, 2);
        assert.strictEqual(done.deviceJobStatistics.succeededCount, 2);
        const twin = (await registry.getTwin('j1')).responseBody;
        assert.strictEqual(twin.tags.done, true);
        assert.strictEqual(twin.properties.desired.level, 3);
        assert.strictEqual((await registry.getTwin('j3')).responseBody.tags.done, undefined);
        const { result } = await jobs.createQuery('scheduleUpdateTwin').next();
        assert.ok(result.some((j) => j.jobId === 'job-1'), JSON.stringify(result));
        // One that lies ahead is cancelled.
        await jobs.scheduleTwinUpdate('job-2', "tags.batch = 'j'", patch, new Date(Date.now() + 3600e3), 300);
        await jobs.cancelJob('job-2');
        const gone = (await jobs.getJob('job-2')).jobStatus;
        assert.strictEqual(gone.status, 'cancelled');
        await assert.rejects(jobs.getJob('job-9'), (e) => /JobNotFound/.test(e.responseBody || e.message));
        // By state, in pages.
        const off = await pages(jobs.createQuery('scheduleUpdateTwin', 'cancelled'));
        assert.deepStrictEqual(off.flat().map((j) => j.jobId), ['job-2']);
        const one = await pages(jobs.createQuery('scheduleUpdateTwin', undefined, 1));
        assert.ok(one.length >= 2 && one.every((page) => page.length <= 1), JSON.stringify(one));
        // And what became of each device.
        const each = registry.createQuery("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'job-1'", 1);
        assert.deepStrictEqual((await pages(each)).flat().map((j) => [j.deviceId, j.jobType, j.status]).sort(),
            [['j1', 'scheduleUpdateTwin', 'completed'], ['j2', 'scheduleUpdateTwin', 'completed']]);
        // A method needs a device that is there.
        await jobs.scheduleDeviceMethod('job-3', "deviceId = 'j1'",
            { methodName: 'reboot', responseTimeoutInSeconds: 5 }, new Date(), 300);
        const called = await until(async () => (await jobs.getJob('job-3')).jobStatus,
            (j) => j.status === 'completed');
        assert.strictEqual(called.type, 'scheduleDeviceMethod');
        assert.strictEqual(called.deviceJobStatistics.failedCount, 1);
        const { result: offline } = await registry.createQuery(
            "SELECT * FROM devices.jobs WHERE devices.jobs.jobType = 'scheduleDeviceMethod'").next();
        assert.deepStrictEqual(offline.map((j) => [j.deviceId, j.status, j.error.code]),
            [['j1', 'failed', 'DeviceNotOnline']]);
    },
};

run(steps);

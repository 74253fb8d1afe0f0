// arm-sdk.js: @azure/identity, @azure/arm-iothub, @azure/arm-resources and
// @azure/arm-resourcesdeployments, as their users write it; see arm-sdk.bats.
// ENDPOINT, where it is set, is hub-sim on any port; else Azure's own names.
'use strict';
const fs = require('fs');
const { execFileSync } = require('child_process');
const { assert, refused, all, run } = require('./steps.js');
const { ClientSecretCredential } = require('@azure/identity');
const { IotHubClient } = require('@azure/arm-iothub');
const { ResourceManagementClient } = require('@azure/arm-resources');
const { DeploymentsClient } = require('@azure/arm-resourcesdeployments');

const env = process.env;
const endpoint = env.ENDPOINT;
const credential = new ClientSecretCredential(env.AZURE_TENANT_ID,
    env.AZURE_CLIENT_ID, env.AZURE_CLIENT_SECRET, endpoint
        ? { authorityHost: endpoint, disableInstanceDiscovery: true } : {});
const options = endpoint ? {
    endpoint,
    credentialScopes: ['https://management.azure.com/.default'],
    credentials: { scopes: ['https://management.azure.com/.default'] },
} : {};
const subscription = env.AZURE_SUBSCRIPTION_ID;
const hubs = new IotHubClient(credential, subscription, options);
const hub = hubs.iotHubResource;
const groups = new ResourceManagementClient(credential, subscription, options)
    .resourceGroups;
const deployer = new DeploymentsClient(credential, subscription, options);
const deployments = deployer.deployments;

const soon = { updateIntervalInMs: 20 };
const group = 'sdk-rg';

function plain(name, capacity = 1) {
    return { location: 'westus', sku: { name: 'S1', capacity },
        tags: { of: name }, properties: {} };
}

function template(changes = {}) {
    return {
        $schema: 'https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#',
        contentVersion: '1.0.0.0',
        parameters: {
            hub: { type: 'string' },
            tag: { type: 'string', defaultValue: 'one' },
            units: { type: 'int', defaultValue: 1 },
            secret: { type: 'secureString', defaultValue: '' },
        },
        resources: [{
            type: 'Microsoft.Devices/IotHubs', apiVersion: '2023-06-30',
            name: "[parameters('hub')]", location: 'westus',
            tags: { t: "[parameters('tag')]" },
            sku: { name: 'S1', capacity: "[parameters('units')]" },
            properties: {},
        }, {
            type: 'Microsoft.Devices/IotHubs/eventHubEndpoints/ConsumerGroups',
            apiVersion: '2023-06-30',
            name: "[concat(parameters('hub'), '/events/analytics')]",
            dependsOn: ["[resourceId('Microsoft.Devices/IotHubs', parameters('hub'))]"],
            properties: { name: 'analytics' },
        }],
        outputs: { host: { type: 'string',
            value: "[reference(parameters('hub')).hostName]" } },
        ...changes,
    };
}

// As the service gives it back: it spells the types its own way.
function exported() {
    const out = template();
    const spelling = { string: 'String', int: 'Int',
        secureString: 'SecureString' };
    for (const part of ['parameters', 'outputs'])
        for (const one of Object.values(out[part]))
            one.type = spelling[one.type];
    return out;
}

function deployment(values, changes) {
    const parameters = {};
    for (const [name, value] of Object.entries(values))
        parameters[name] = { value };
    return { properties: { mode: 'Incremental',
        template: template(changes), parameters } };
}

run({
    // Group and hub for the steps that follow.
    async prepare() {
        const made = await groups.createOrUpdate(group, {
            location: 'West US', tags: { by: 'sdk' } });
        assert.strictEqual(made.location, 'westus');
        assert.strictEqual(made.properties.provisioningState, 'Succeeded');
        const free = await hub.checkNameAvailability({ name: 'sdk-hub' });
        assert.strictEqual(free.nameAvailable, true);
        const one = await hub.beginCreateOrUpdateAndWait(group, 'sdk-hub',
            plain('sdk-hub'), soon);
        assert.strictEqual(one.name, 'sdk-hub');
        assert.strictEqual(one.properties.state, 'Active');
        assert.strictEqual(one.properties.provisioningState, 'Succeeded');
        assert.strictEqual(one.properties.hostName, 'sdk-hub.azure-devices.net');
        assert.strictEqual(one.properties.eventHubEndpoints.events.partitionCount, 4);
        assert.deepStrictEqual(one.tags, { of: 'sdk-hub' });
        const taken = await hub.checkNameAvailability({ name: 'sdk-hub' });
        assert.strictEqual(taken.nameAvailable, false);
        assert.strictEqual(taken.reason, 'AlreadyExists');
        assert.strictEqual(taken.message, "IotHub name 'sdk-hub' is not available");
    },

    async update() {
        const now = await hub.get(group, 'sdk-hub');
        assert.ok(now.etag);
        assert.deepStrictEqual(now.properties.locations, [
            { location: 'West US', role: 'primary' },
            { location: 'East US', role: 'secondary' }]);
        now.sku.capacity = 3;
        now.properties.eventHubEndpoints.events.retentionTimeInDays = 4;
        const later = await hub.beginCreateOrUpdateAndWait(group, 'sdk-hub',
            now, { ifMatch: now.etag, ...soon });
        assert.strictEqual(later.sku.capacity, 3);
        assert.strictEqual(
            later.properties.eventHubEndpoints.events.retentionTimeInDays, 4);
        assert.notStrictEqual(later.etag, now.etag);
        await refused(hub.beginCreateOrUpdateAndWait(group, 'sdk-hub', later,
            { ifMatch: now.etag, ...soon }), 412);
        const tagged = await hub.beginUpdateAndWait(group, 'sdk-hub',
            { tags: { only: 'this' } }, soon);
        assert.deepStrictEqual(tagged.tags, { only: 'this' });
        assert.strictEqual(tagged.sku.capacity, 3);
        assert.deepStrictEqual((await hub.get(group, 'sdk-hub')).tags,
            { only: 'this' });
    },

    // Polled as the SDK polls when nobody tells it otherwise.
    async patient() {
        const poller = await hub.beginCreateOrUpdate(group, 'sdk-slow',
            plain('sdk-slow'));
        const one = await poller.pollUntilDone();
        assert.strictEqual(one.properties.state, 'Active');
        await hub.beginDeleteAndWait(group, 'sdk-slow');
        await refused(hub.get(group, 'sdk-slow'), 404, 'ResourceNotFound');
    },

    async lists() {
        for (let i = 0; i < 10; i++)
            await hub.beginCreateOrUpdateAndWait(group, `sdk-many-${i}`,
                plain(`many-${i}`), soon);
        const names = (await all(hub.listBySubscription())).map((h) => h.name);
        assert.ok(names.includes('contoso') && names.includes('sdk-many-9'));
        const ours = await all(hub.listByResourceGroup(group));
        assert.strictEqual(ours.filter((one) =>
            one.name.startsWith('sdk-many-')).length, 10);
        assert.ok(!ours.some((one) => one.name === 'contoso'));
        await refused(all(hub.listByResourceGroup('nowhere')), 404,
            'ResourceGroupNotFound');
        for (let i = 0; i < 10; i++)
            await hub.beginDeleteAndWait(group, `sdk-many-${i}`, soon);
        assert.ok(!(await all(hub.listBySubscription()))
            .some((one) => one.name.startsWith('sdk-many-')));
    },

    async keys() {
        const list = await all(hub.listKeys(group, 'sdk-hub'));
        assert.deepStrictEqual(list.map((one) => [one.keyName, one.rights]), [
            ['iothubowner', 'RegistryWrite, ServiceConnect, DeviceConnect'],
            ['service', 'ServiceConnect'], ['device', 'DeviceConnect'],
            ['registryRead', 'RegistryRead'],
            ['registryReadWrite', 'RegistryWrite']]);
        assert.ok(list.every((one) =>
            Buffer.from(one.primaryKey, 'base64').length === 32 &&
            one.primaryKey !== one.secondaryKey));
        assert.deepStrictEqual(
            await hub.getKeysForKeyName(group, 'sdk-hub', 'service'), list[1]);
        await refused(hub.getKeysForKeyName(group, 'sdk-hub', 'nobody'), 404);
        const whole = await hub.get(group, 'sdk-hub');
        whole.properties.authorizationPolicies = [list[0], {
            keyName: 'mine', rights: 'RegistryRead',
            primaryKey: Buffer.alloc(32, 1).toString('base64'),
            secondaryKey: Buffer.alloc(32, 2).toString('base64') }];
        const after = await hub.beginCreateOrUpdateAndWait(group, 'sdk-hub',
            whole, soon);
        assert.strictEqual(after.properties.authorizationPolicies, undefined);
        const mine = await hub.getKeysForKeyName(group, 'sdk-hub', 'mine');
        assert.strictEqual(mine.primaryKey, Buffer.alloc(32, 1).toString('base64'));
        assert.deepStrictEqual((await all(hub.listKeys(group, 'sdk-hub')))
            .map((one) => one.keyName), ['iothubowner', 'mine']);
    },

    async consumers() {
        const one = await hub.createEventHubConsumerGroup(group, 'sdk-hub',
            'events', 'analytics', { properties: { name: 'analytics' } });
        assert.strictEqual(one.name, 'analytics');
        const read = await hub.getEventHubConsumerGroup(group, 'sdk-hub',
            'events', 'analytics');
        assert.ok(read.properties.created);
        assert.deepStrictEqual((await all(hub.listEventHubConsumerGroups(group,
            'sdk-hub', 'events'))).map((c) => c.name), ['$Default', 'analytics']);
        await hub.deleteEventHubConsumerGroup(group, 'sdk-hub', 'events',
            'analytics');
        await refused(hub.getEventHubConsumerGroup(group, 'sdk-hub', 'events',
            'analytics'), 404);
    },

    async certificates() {
        const pem = fs.readFileSync(env.CA_PEM);
        const certificate = pem.toString('base64');
        const c = hubs.certificates;
        const one = await c.createOrUpdate(group, 'sdk-hub', 'root',
            { properties: { certificate } });
        assert.strictEqual(one.properties.subject, 'SDK Root');
        assert.strictEqual(one.properties.isVerified, false);
        assert.strictEqual(one.properties.thumbprint, env.CA_SUM);
        assert.ok(one.properties.expiry instanceof Date);
        assert.ok(one.properties.expiry > new Date());
        await refused(c.createOrUpdate(group, 'sdk-hub', 'root',
            { properties: { certificate } }), 412);
        const coded = await c.generateVerificationCode(group, 'sdk-hub',
            'root', one.etag);
        assert.match(coded.properties.verificationCode, /^[0-9A-F]{48}$/);
        await refused(c.verify(group, 'sdk-hub', 'root', coded.etag,
            { certificate }), 400);
        // One that its key has signed for the code.
        const proof = execFileSync('sh', ['-ec', `
            openssl req -new -newkey rsa:2048 -nodes -keyout proof.key \\
                -subj "/CN=$1" -out proof.csr 2>/dev/null
            openssl x509 -req -in proof.csr -CA "$CA_PEM" -CAkey ca.key \\
                -CAcreateserial -days 2 2>/dev/null`, 'sh',
        coded.properties.verificationCode]).toString('base64');
        const proven = await c.verify(group, 'sdk-hub', 'root', coded.etag,
            { certificate: proof });
        assert.strictEqual(proven.properties.isVerified, true);
        assert.notStrictEqual(proven.etag, coded.etag);
        const read = await c.get(group, 'sdk-hub', 'root');
        assert.strictEqual(read.etag, proven.etag);
        assert.strictEqual(read.properties.isVerified, true);
        assert.strictEqual(read.properties.subject, 'SDK Root');
        await refused(c.get(group, 'sdk-hub', 'nobody'), 404);
        const known = await c.createOrUpdate(group, 'sdk-hub', 'known',
            { properties: { certificate, isVerified: true } });
        assert.strictEqual(known.properties.isVerified, true);
        assert.deepStrictEqual((await c.listByIotHub(group, 'sdk-hub')).value
            .map((x) => x.name).sort(), ['known', 'root']);
        await refused(c.delete(group, 'sdk-hub', 'known', one.etag), 412);
        await c.delete(group, 'sdk-hub', 'known', known.etag);
        await c.delete(group, 'sdk-hub', 'root', proven.etag);
        assert.deepStrictEqual(
            (await c.listByIotHub(group, 'sdk-hub')).value, []);
        await refused(c.createOrUpdate(group, 'sdk-hub', 'junk',
            { properties: { certificate: 'bm90aGluZw==' } }), 400);
    },

    async numbers() {
        assert.deepStrictEqual({ ...await hub.getStats('west-rg', 'contoso') }, {
            totalDeviceCount: 3, enabledDeviceCount: 2, disabledDeviceCount: 1 });
        const quota = {};
        for (const one of await all(hub.listQuotaMetrics('west-rg', 'contoso')))
            quota[one.name] = [one.currentValue, one.maxValue];
        assert.deepStrictEqual(quota, { TotalMessages: [0, 400000],
            TotalDeviceCount: [3, 1000000] });
        assert.deepStrictEqual((await all(hub.listValidSkus(group, 'sdk-hub')))
            .map((one) => [one.sku.name, one.capacity.maximum]),
        [['S1', 200], ['S2', 200], ['S3', 10]]);
        const names = (await all(hubs.operations.list())).map((o) => o.name);
        assert.ok(names.includes('Microsoft.Devices/iotHubs/Read'));
        const own = await hubs.resourceProviderCommon.getSubscriptionQuota();
        assert.ok(own.value.some((one) => one.currentValue >= 2));
    },

    async routes() {
        const health = await all(hub.listEndpointHealth('west-rg', 'contoso'));
        assert.ok(health.length >= 5);
        assert.ok(health.every((one) => one.healthStatus === 'unknown'));
        const routed = await hub.testAllRoutes('contoso', 'west-rg', {
            routingSource: 'DeviceMessages',
            message: { appProperties: { level: 'info' } } });
        assert.deepStrictEqual(routed.routes.map((r) => r.properties.name),
            ['telemetry', 'archive', 'events']);
        const test = async (condition, message, twin) => (await hub.testRoute(
            'contoso', 'west-rg', { message, twin, route: { name: 'r',
                source: 'DeviceMessages', condition, endpointNames: ['events'],
                isEnabled: true } }));
        assert.strictEqual((await test("$twin.tags.site = 'x' AND NOT $body.off",
            { body: '{"off":false}' }, { tags: { site: 'x' } })).result, 'true');
        assert.strictEqual((await test('temp > 20', {
            appProperties: { temp: '20' } })).result, 'undefined');
        assert.strictEqual((await test('AS_NUMBER(temp) >= 20', {
            appProperties: { temp: '20' } })).result, 'true');
        const wrong = await test('level = ', {});
        assert.strictEqual(wrong.result, 'undefined');
        assert.strictEqual(
            wrong.details.compilationErrors[0].location.start.column, 9);
    },

    async wrong() {
        await refused(hub.get(group, 'nobody'), 404, 'ResourceNotFound');
        await refused(hub.get('nowhere', 'sdk-hub'), 404,
            'ResourceGroupNotFound');
        const bad = await refused(hub.beginCreateOrUpdateAndWait(group,
            'sdk-bad', { ...plain('x'), sku: { name: 'F1', capacity: 1 },
                properties: { eventHubEndpoints: { events:
                    { partitionCount: 4, retentionTimeInDays: 1 } } } },
            soon), 400, '400016');
        assert.match(bad.message,
            /Invalid PartitionCount 4 - value must be between 2 and 2\./);
        await refused(hub.beginCreateOrUpdate('west-rg', 'sdk-hub', plain('x')),
            409);
        const other = new IotHubClient(credential,
            '99999999-9999-9999-9999-999999999999', options);
        await refused(other.iotHubResource.get(group, 'sdk-hub'), 404,
            'SubscriptionNotFound');
        const liar = new ClientSecretCredential(env.AZURE_TENANT_ID,
            env.AZURE_CLIENT_ID, 'not-it', endpoint ? { authorityHost: endpoint,
                disableInstanceDiscovery: true } : {});
        await assert.rejects(liar.getToken('https://management.azure.com/.default'),
            /invalid_client.*AADSTS7000215/s);
        const blank = new IotHubClient({ getToken: async () =>
            ({ token: 'no.such.token', expiresOnTimestamp: Date.now() + 1e7 }) },
        subscription, options);
        await refused(blank.iotHubResource.get(group, 'sdk-hub'), 401,
            'InvalidAuthenticationToken');
    },

    async failover() {
        const before = await hub.get(group, 'sdk-hub');
        await hubs.iotHub.beginManualFailoverAndWait('sdk-hub', group,
            { failoverRegion: before.properties.locations[1].location }, soon);
        const after = await hub.get(group, 'sdk-hub');
        assert.strictEqual(after.properties.state, 'Active');
        assert.strictEqual(after.location, before.location);
        const by = (one) => Object.fromEntries(one.properties.locations
            .map((l) => [l.role, l.location]));
        assert.deepStrictEqual(by(after), { primary: by(before).secondary,
            secondary: by(before).primary });
        assert.notStrictEqual(after.properties.eventHubEndpoints.events.endpoint,
            before.properties.eventHubEndpoints.events.endpoint);
        assert.strictEqual(after.properties.hostName, before.properties.hostName);
        // Not there again, and not back within the hour.
        const again = (region) => hubs.iotHub.beginManualFailoverAndWait(
            'sdk-hub', group, { failoverRegion: region }, soon);
        await refused(again(by(after).primary), 400);
        await refused(again('Mars'), 400);
        await refused(again(by(after).secondary), 409);
        assert.deepStrictEqual(by(await hub.get(group, 'sdk-hub')), by(after));
    },

    async jobs() {
        const job = await hub.exportDevices('west-rg', 'contoso', {
            exportBlobContainerUri: env.CONTAINER_URI, excludeKeys: false });
        assert.ok(job.jobId);
        assert.strictEqual(job.type, 'export');
        let now = job;
        while (!['completed', 'failed', 'cancelled'].includes(now.status)) {
            await new Promise((done) => setTimeout(done, 50));
            now = await hub.getJob('west-rg', 'contoso', job.jobId);
        }
        assert.strictEqual(now.status, 'completed', JSON.stringify(now));
        const list = await all(hub.listJobs('west-rg', 'contoso'));
        assert.deepStrictEqual(list.map((one) => one.jobId), [job.jobId]);
        await refused(hub.getJob('west-rg', 'contoso', 'none'), 404);
        const answer = await fetch(env.CONTAINER_URI.replace('?',
            '/devices.txt?'));
        const lines = (await answer.text()).trim().split(/\r?\n/)
            .map((line) => JSON.parse(line));
        assert.deepStrictEqual(lines.map((one) => one.id).sort(),
            ['one', 'three', 'two']);
        // And back, with one more and one less.
        await fetch(env.CONTAINER_URI.replace('?', '/devices.txt?'), {
            method: 'PUT', headers: { 'x-ms-blob-type': 'BlockBlob' },
            body: [{ id: 'four', importMode: 'create', status: 'enabled' },
                { id: 'two', importMode: 'delete', status: 'enabled' }]
                .map((one) => JSON.stringify(one)).join('\n') });
        const back = await hub.importDevices('west-rg', 'contoso', {
            inputBlobContainerUri: env.CONTAINER_URI,
            outputBlobContainerUri: env.CONTAINER_URI });
        assert.strictEqual(back.type, 'import');
        now = back;
        while (!['completed', 'failed', 'cancelled'].includes(now.status)) {
            await new Promise((done) => setTimeout(done, 50));
            now = await hub.getJob('west-rg', 'contoso', back.jobId);
        }
        assert.strictEqual(now.status, 'completed', JSON.stringify(now));
        assert.strictEqual(now.failureReason, undefined);
        assert.strictEqual((await hub.getStats('west-rg', 'contoso'))
            .totalDeviceCount, lines.length);
    },

    async groups() {
        for (let i = 0; i < 105; i++)
            await groups.createOrUpdate(`sdk-group-${i}`, { location: 'eastus' });
        const pages = [];
        for await (const page of groups.list().byPage())
            pages.push(page.length);
        assert.ok(pages.length >= 2 && pages[0] === 100, String(pages));
        assert.strictEqual((await groups.checkExistence('sdk-group-104')).body, true);
        assert.strictEqual((await groups.checkExistence('nowhere')).body, false);
        await groups.beginDeleteAndWait('sdk-group-104', soon);
        assert.strictEqual((await groups.checkExistence('sdk-group-104')).body, false);
        const changed = await groups.update('sdk-group-103', { tags: { a: 'b' } });
        assert.deepStrictEqual(changed.tags, { a: 'b' });
        await refused(groups.get('nowhere'), 404, 'ResourceGroupNotFound');
        const exported = await groups.beginExportTemplateAndWait('west-rg', {
            resources: ['*'], options: 'SkipAllParameterization' }, soon);
        assert.deepStrictEqual(exported.template.parameters, {});
        assert.ok(exported.template.resources.some((one) =>
            one.type === 'Microsoft.Devices/IotHubs' && one.name === 'contoso'));
    },

    async deploy() {
        const values = { hub: 'sdk-made', secret: 'hush' };
        const valid = await deployments.validate(group, 'first',
            deployment(values), soon).pollUntilDone();
        assert.strictEqual(valid.properties.provisioningState, 'Succeeded');
        assert.strictEqual(valid.properties.validatedResources.length, 2);
        const plan = await deployments.whatIf(group, 'first',
            deployment(values), soon).pollUntilDone();
        assert.strictEqual(plan.status, 'Succeeded');
        assert.deepStrictEqual(plan.changes.filter((c) =>
            c.changeType === 'Create').map((c) => c.resourceId.split('/').pop()),
        ['sdk-made', 'analytics']);
        const done = await deployments.createOrUpdate(group, 'first',
            deployment(values), soon).pollUntilDone();
        assert.strictEqual(done.properties.provisioningState, 'Succeeded');
        assert.strictEqual(done.properties.outputs.host.value,
            'sdk-made.azure-devices.net');
        assert.strictEqual(done.properties.outputResources.length, 2);
        assert.ok(!JSON.stringify(done).includes('hush'));
        assert.strictEqual(done.properties.dependencies[0].dependsOn[0].resourceName,
            'sdk-made');
        const again = await deployments.whatIf(group, 'first',
            deployment({ ...values, tag: 'two' }), soon).pollUntilDone();
        const modify = again.changes.filter((c) => c.changeType === 'Modify');
        assert.strictEqual(modify.length, 1);
        assert.deepStrictEqual(modify[0].delta.map((d) => [d.path,
            d.propertyChangeType, d.before, d.after]),
        [['tags.t', 'Modify', 'one', 'two']]);
        assert.deepStrictEqual((await all(deployer.deploymentOperations.list(
            group, 'first'))).map((o) => [o.properties.provisioningOperation,
            o.properties.provisioningState, o.properties.targetResource &&
                o.properties.targetResource.resourceName]), [
            ['Create', 'Succeeded', 'sdk-made'],
            ['Create', 'Succeeded', 'sdk-made/events/analytics'],
            ['EvaluateDeploymentOutput', 'Succeeded', undefined]]);
        assert.deepStrictEqual((await deployments.exportTemplate(group,
            'first')).template, exported());
        assert.ok((await all(deployments.listByResourceGroup(group)))
            .some((d) => d.name === 'first'));
        const same = await deployments.get(group, 'first');
        assert.strictEqual(same.properties.correlationId,
            done.properties.correlationId);
        assert.strictEqual(same.properties.parameters.secret.value, undefined);
        const [step] = await all(deployer.deploymentOperations.list(group, 'first'));
        assert.deepStrictEqual((await deployer.deploymentOperations.get(group,
            'first', step.operationId)).properties, step.properties);
        await deployments.delete(group, 'first', soon).pollUntilDone();
        await refused(deployments.get(group, 'first'), 404, 'DeploymentNotFound');
        assert.strictEqual((await hub.get(group, 'sdk-made')).tags.t, 'one');
    },

    async failing() {
        // This SDK takes the 400 of a validation for a failed operation.
        await assert.rejects(deployments.validate(group, 'bad',
            deployment({ tag: 'x' }), soon).pollUntilDone());
        const bad = await refused(deployments.createOrUpdate(group, 'bad',
            deployment({ tag: 'x' }), soon).pollUntilDone(), 400,
        'InvalidTemplate');
        assert.match(bad.message, /'hub'/);
        let error;
        try {
            await deployments.createOrUpdate(group, 'bad', deployment(
                { hub: 'sdk-bad', units: 999 }), soon).pollUntilDone();
        } catch (e) {
            error = e;
        }
        assert.ok(error);
        const after = await deployments.get(group, 'bad');
        assert.strictEqual(after.properties.provisioningState, 'Failed');
        assert.strictEqual(after.properties.error.code, 'DeploymentFailed');
        const inner = JSON.parse(after.properties.error.details[0].message);
        assert.strictEqual(inner.httpStatusCode, 400);
        assert.match(inner.message, /Invalid capacity 999 of SKU S1/);
        const failed = (await all(deployer.deploymentOperations.list(group,
            'bad'))).filter((o) => o.properties.provisioningState === 'Failed');
        assert.strictEqual(failed.length, 1);
        assert.strictEqual(failed[0].properties.statusCode, 'BadRequest');
        await refused(hub.get(group, 'sdk-bad'), 404);
    },

    // Where operations take seconds: see arm-sdk.bats.
    async busy() {
        await groups.createOrUpdate(group, { location: 'westus' });
        const hubPoller = await hub.beginCreateOrUpdate(group, 'sdk-busy',
            plain('busy'), { updateIntervalInMs: 100 });
        assert.strictEqual(hubPoller.isDone(), false);
        const early = await hub.get(group, 'sdk-busy');
        assert.strictEqual(early.properties.state, 'Activating');
        assert.strictEqual(early.properties.hostName, undefined);
        const busy = await refused(hub.beginCreateOrUpdate(group, 'sdk-busy',
            plain('busy', 2)), 409, '409002');
        assert.match(busy.message, /is not in Active state/);
        const done = await hubPoller.pollUntilDone();
        assert.strictEqual(done.properties.state, 'Active');
    },

    async cancel() {
        await groups.createOrUpdate(group, { location: 'westus' });
        const poller = deployments.createOrUpdate(group, 'long',
            deployment({ hub: 'sdk-long' }), { updateIntervalInMs: 50 });
        await poller.submitted();
        await refused(deployments.createOrUpdate(group, 'long',
            deployment({ hub: 'sdk-long' }), soon).submitted(), 409,
        'DeploymentActive');
        await deployments.cancel(group, 'long');
        await assert.rejects(poller.pollUntilDone());
        const after = await deployments.get(group, 'long');
        assert.strictEqual(after.properties.provisioningState, 'Canceled');
        await refused(deployments.cancel(group, 'long'), 409);
    },

    async end() {
        await hub.beginDeleteAndWait(group, 'sdk-hub', soon);
        await refused(hub.get(group, 'sdk-hub'), 404, 'ResourceNotFound');
        await groups.beginDeleteAndWait(group, soon);
        await refused(groups.get(group), 404, 'ResourceGroupNotFound');
    },
});

// bench.js: what users of azure-iothub write for a whole registry, for
// tests/bench.  bench.js load FILE [IN_FLIGHT] | dump [PAGE]; CONNECTION is a
// connection string of the hub.
'use strict';
const fs = require('fs');
const readline = require('readline');
const { Registry } = require('azure-iothub');

const registry = Registry.fromConnectionString(process.env.CONNECTION);

// Calls of 100 devices, so many at once.
async function load(file, inFlight) {
    const lines = readline.createInterface({ input: fs.createReadStream(file) });
    const running = new Set();
    let batch = [];

    const send = async () => {
        while (running.size >= inFlight)
            await Promise.race(running);
        const devices = batch;
        batch = [];
        const call = registry.addDevices(devices).then(({ responseBody }) => {
            if (!responseBody.isSuccessful)
                throw new Error(JSON.stringify(responseBody.errors[0]));
        }).finally(() => running.delete(call));
        running.add(call);
    };

    for await (const line of lines) {
        const { id, ...rest } = JSON.parse(line);
        batch.push({ deviceId: id, ...rest });
        if (batch.length === 100)
            await send();
    }
    if (batch.length)
        await send();
    await Promise.all(running);
}

async function dump(page) {
    const query = registry.createQuery('SELECT * FROM devices', page);

    while (query.hasMoreResults)
        for (const twin of (await query.nextAsTwin()).result)
            process.stdout.write(JSON.stringify(twin.toJSON()) + '\n');
}

const [what, ...rest] = process.argv.slice(2);
(what === 'load' ? load(rest[0], Number(rest[1] || 8)) : dump(Number(rest[0] || 100)))
    .catch((e) => {
        console.error(e);
        process.exitCode = 1;
    });

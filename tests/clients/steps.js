// steps.js: what the drivers of Microsoft's Node packages share.  A driver is
// an object of named steps, run as "node DRIVER.js STEP"; it ends with 0 only
// when the step has finished: several of these packages never call back when
// an answer surprises them, and node would then end as if all were well.
'use strict';
const assert = require('assert');

// What rejects with this status and code; gives the error for more.
async function refused(promise, status, code) {
    let error;
    try {
        await promise;
    } catch (e) {
        error = e;
    }
    assert.ok(error, 'it was not refused');
    assert.strictEqual(error.statusCode, status, String(error));
    if (code !== undefined)
        assert.strictEqual(String(error.code), code, String(error));
    return error;
}

async function all(pages) {
    const list = [];
    for await (const one of pages)
        list.push(one);
    return list;
}

function run(steps) {
    const step = steps[process.argv[2]];
    let finished = false;
    assert.ok(step, `no step ${process.argv[2]}`);
    const limit = setTimeout(() => {
        console.error('not finished after 30 s');
        process.exit(1);
    }, 30000);
    process.on('exit', (status) => {
        if (!finished && status === 0) {
            console.error('node ended before the step had finished');
            process.exitCode = 1;
        }
    });
    step().then(() => {
        finished = true;
        clearTimeout(limit);
    }, (e) => {
        console.error(e.stack || e);
        process.exit(1);
    });
}

module.exports = { assert, refused, all, run };

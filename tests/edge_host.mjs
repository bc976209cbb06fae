// Runs an exported Worker or CloudFront Function behind Node's HTTP server, as its platform calls it. What it leaves to
// the app gets a status of its own. node edge_host.mjs KIND FILE SOCKET STATUS, with the number of a bound socket
import {readFileSync} from "node:fs";
import {createServer} from "node:http";
import {pathToFileURL} from "node:url";
import {runInThisContext} from "node:vm";

const [kind, file, socket, left] = process.argv.slice(2);

function pairsOf(message) {
    return message.rawHeaders.flatMap((name, at, all) => at % 2 ? [] : [[name, all[at + 1]]]);
}

async function worker() {
    globalThis.fetch = async () => new Response(null, {status: Number(left)});
    const {default: module} = await import(pathToFileURL(file));
    return async (message) => {
        const options = {method: message.method, headers: pairsOf(message)};
        const response = await module.fetch(new Request("https://a.example" + message.url, options));
        return [response.status, Object.fromEntries(response.headers)];
    };
}

// https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/functions-event-structure.html
function cloudfront() {
    const handler = runInThisContext(readFileSync(file, "utf8") + "\nhandler");
    return async (message) => {
        const headers = {};
        for (const [name, value] of pairsOf(message)) {
            const known = headers[name.toLowerCase()];
            const values = [...(known ? known.multiValue || [{value: known.value}] : []), {value}];
            headers[name.toLowerCase()] = values.length > 1 ? {value, multiValue: values} : {value};
        }
        const request = {method: message.method, uri: message.url.split("?")[0], querystring: {}, headers, cookies: {}};
        const made = handler({version: "1.0", context: {eventType: "viewer-request"}, viewer: {}, request});
        const lines = Object.entries(made.headers).map(([name, it]) => [name, it.value]);
        return made === request ? [Number(left), {}] : [made.statusCode, Object.fromEntries(lines)];
    };
}

const answer = await {worker, cloudfront}[kind]();

createServer(async (message, response) => {
    const [status, headers] = await answer(message).catch(() => [400, {}]);
    response.writeHead(status, {...headers, "Content-Length": "0"}).end();
}).listen({fd: Number(socket)});

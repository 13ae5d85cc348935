// The request as a complete program. Its body is the text that the page sent; the program never contains a token.

/** The body of a request, with one member per line. */
export function bodyOf(particle, { seed, repeats }, card) {
  const members = { particles: [particle], seed, repeats, output: "hits", model: card.name, version: card.version };
  const lines = Object.entries(members).map(([name, value]) => `"${name}": ${spaced(value)}`);
  return `{${lines.join(",\n    ")}}`;
}

// As Python writes JSON: with spaces.
const spaced = (value) => JSON.stringify(value).replaceAll(/([:,])(?=[^ ])/g, "$1 ");

/** Programs by language; `where` is the URL of the page. */
export function snippets(where, grpcPort, body, withToken) {
  return {
    curl: curl(where.href, body, withToken),
    python: python(where.href, body, withToken),
    cpp: cpp(where, grpcPort, JSON.parse(body), withToken),
  };
}

/** For a POSIX shell. The body contains no single quote, because names of models have none. */
function curl(base, body, withToken) {
  const token = withToken ? ` \\\n  -H "Authorization: Bearer $ZDC_TOKEN"` : "";
  return `curl -s ${base}simulate -H 'Content-Type: application/json'${token} \\\n  -d '${body}'\n`;
}

/** Python 3 without any package. */
function python(base, body, withToken) {
  const token = withToken ? `, "Authorization": "Bearer " + os.environ["ZDC_TOKEN"]` : "";
  return `import json
${withToken ? "import os\n" : ""}import urllib.request

body = """${body}"""
headers = {"Content-Type": "application/json"${token}}
request = urllib.request.Request("${base}simulate", body.encode(), headers)
with urllib.request.urlopen(request) as answer:
    reply = json.load(answer)
for row, channels in enumerate(reply["channels"]):
    print(row, sum(channels), dict(zip(reply["channel_names"], channels)))
`;
}

/** With the CMake package of service/cpp. It requests only channel sums; for the same seed they equal the page's. */
function cpp(where, grpcPort, { particles: [particle], seed, repeats, model, version }, withToken) {
  const scheme = where.protocol === "https:" ? "grpcs" : "grpc";
  const numbers = [particle.px, particle.py, particle.pz, particle.vx ?? 0, particle.vy ?? 0, particle.vz];
  const floats = numbers.map((value) => (Number.isInteger(value) ? value : `${value}f`)).join(", ");
  const options = withToken ? `\n  zdc_fastsim::Options options;\n  options.token_file = "token";  // holds the token` : "";
  return `// CMake: find_package(zdc_fastsim CONFIG REQUIRED) and target_link_libraries(... zdc_fastsim::client)
#include <zdc_fastsim/client.h>

#include <cstdint>
#include <iostream>
#include <string>
#include <vector>

int main() try {${options}
  const zdc_fastsim::Client client("${scheme}://${where.hostname}:${grpcPort}"${withToken ? ", options" : ""});
  const std::vector<zdc_fastsim::Particle> particles = {{${particle.pdg}, ${floats}}};  // momentum, vertex
  zdc_fastsim::Request request;
  request.seed = ${seed};
  request.repeats = ${repeats};
  request.output = zdc_fastsim::Output::channels;
  request.model = "${model}";
  request.version = ${version};

  const std::vector<std::string> names = client.model(request.model, request.version).channel_names;
  std::vector<std::uint32_t> sums(request.repeats * names.size());
  zdc_fastsim::CountBuffers buffers;
  buffers.channels = sums;
  client.simulate(particles, request, buffers);
  for (std::size_t i = 0; i < sums.size(); ++i) {
    std::cout << names[i % names.size()] << ' ' << sums[i] << ((i + 1) % names.size() ? "  " : "\\n");
  }
} catch (const zdc_fastsim::Error& error) {
  std::cerr << error.what() << '\\n';
  return 1;
}
`;
}

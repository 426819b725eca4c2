// Refreshes from a repository with tuf-js and downloads what is named.
//
// usage: client.mjs NODE_MODULES URL ROOT FOLDER NAME…   prints the file that each target was downloaded to

import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [modules, url, root, folder, ...names] = process.argv.slice(2);
const { Updater } = createRequire(`${modules}/`)('tuf-js');
const [metadataDir, targetDir] = ['metadata', 'targets'].map((name) => join(folder, name));
for (const inside of [metadataDir, targetDir]) mkdirSync(inside, { recursive: true });
if (!existsSync(join(metadataDir, 'root.json'))) copyFileSync(root, join(metadataDir, 'root.json'));

const updater = new Updater({
  metadataDir,
  metadataBaseUrl: `${url}/metadata`,
  targetDir,
  targetBaseUrl: `${url}/targets`,
  config: { fetchRetries: 0 },
});
try {
  await updater.refresh();
  for (const name of names) {
    const info = await updater.getTargetInfo(name);
    if (!info) throw new Error(`nobody vouches for ${name}`);
    console.log(await updater.downloadTarget(info));
  }
} catch (error) {
  console.error(String(error));
  process.exit(1);
}

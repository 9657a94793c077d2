#!/usr/bin/env node
// solc's command line, as far as forge and py-solc-x use it (--version, --standard-json), over npm's WebAssembly build:
// the compiler for machines that cannot download a native one.
'use strict';
const fs = require('fs');
const solc = require('solc');

if (process.argv.includes('--version')) {
  console.log('solc, the solidity compiler commandline interface\nVersion: ' + solc.version());
} else {
  const read = (path) => {
    try {
      return { contents: fs.readFileSync(path, 'utf8') };
    } catch (error) {
      return { error: String(error) };
    }
  };
  process.stdout.write(solc.compile(fs.readFileSync(0, 'utf8'), { import: read }));
}

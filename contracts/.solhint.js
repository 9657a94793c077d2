// solhint 6, run by `scripts/assure solhint`: every warning fails. What is off says why.
module.exports = {
  extends: 'solhint:recommended',
  rules: {
    'compiler-version': ['error', '^0.8.24'],
    'duplicated-imports': 'error',
    // One loop over a proof's bytes, which is in assembly, is the longest.
    'function-max-lines': ['warn', 80],
    'func-visibility': ['error', { ignoreConstructors: true }],
    'interface-starts-with-i': 'error',
    'no-unused-vars': 'error',
    'not-rely-on-block-hash': 'error',
    'state-visibility': 'error',
    // Times are epochs of many seconds; validators who shift a block by some move nothing that matters (spec/beacon.md).
    'not-rely-on-time': 'off',
    // NatSpec stands in the interfaces, once (who, when, units), where forge and readers look for it.
    'use-natspec': 'off',
    // An immutable that is part of an interface has its function's name there; the others are in capitals.
    'immutable-vars-naming': 'off',
    // Gas is measured (contracts/GAS.md), not guessed from style: these trade plainness for single units.
    'gas-increment-by-one': 'off',
    'gas-indexed-events': 'off',
    'gas-small-strings': 'off',
    'gas-strict-inequalities': 'off',
    'gas-struct-packing': 'off',
    // Only where Solidity has no word for it; slither lists every use with its reason (scripts/assurance/slither.toml).
    'no-inline-assembly': 'off',
  },
};

// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {CommonBase} from "forge-std/Base.sol";

/// @notice Counts what was tried and how it ended: done, or refused by which error. PEERAGE_JOURNAL names a file to which each
/// run's counts are added, for scripts/assure invariants.
abstract contract Journal is CommonBase {
    struct Outcome {
        bytes4 action;
        bytes4 refusal;
    }

    Outcome[] private _outcomes;
    mapping(bytes4 action => mapping(bytes4 refusal => uint256)) private _count;

    /// @dev An action that did what it was to do.
    function _done() internal {
        _note(0);
    }

    function _refused(bytes memory reason) internal {
        _note(bytes4(reason));
    }

    function _note(bytes4 refusal) private {
        if (_count[msg.sig][refusal]++ == 0) _outcomes.push(Outcome(msg.sig, refusal));
    }

    function writeJournal() external {
        string memory path = vm.envOr("PEERAGE_JOURNAL", string(""));
        if (bytes(path).length == 0) return;
        for (uint256 i = 0; i < _outcomes.length; ++i) {
            Outcome memory outcome = _outcomes[i];
            bytes memory both = abi.encodePacked(outcome.action, outcome.refusal);
            uint256 number = _count[outcome.action][outcome.refusal];
            vm.writeLine(path, string.concat(vm.toString(both), " ", vm.toString(number)));
        }
    }
}

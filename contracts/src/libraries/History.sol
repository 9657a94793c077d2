// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice The revision that stood at the end of an epoch.
struct Recorded {
    bytes32 root;
    uint64 leaves;
    uint64 sequence;
    uint32 epoch;
}

/// @notice An agreement's revisions by the epoch of their recording, one an epoch: the last.
library History {
    /// @notice Adds a revision, in place of an earlier one of the same epoch. Epochs never go back.
    function record(Recorded[] storage self, Recorded memory entry) internal {
        uint256 length = self.length;
        if (length != 0 && self[length - 1].epoch == entry.epoch) self[length - 1] = entry;
        else self.push(entry);
    }

    /// @notice The newest entry; all zero if there is none.
    function newest(Recorded[] storage self) internal view returns (Recorded memory entry) {
        uint256 length = self.length;
        if (length != 0) entry = self[length - 1];
    }

    /// @notice The entry in effect two epochs later: the newest that was recorded in epoch - 2 or before, or all zero.
    /// Challenges are over it, because the links that make an epoch's seed become public during the epoch before.
    function frozenAt(Recorded[] storage self, uint32 epoch) internal view returns (Recorded memory entry) {
        uint256 after_ = countUntil(self, epoch);
        if (after_ != 0) entry = self[after_ - 1];
    }

    /// @notice How many entries were recorded in epoch - 2 or before.
    function countUntil(Recorded[] storage self, uint32 epoch) internal view returns (uint256 low) {
        if (epoch < 2) return 0;
        uint256 high = self.length;
        while (low < high) {
            uint256 middle = (low + high) / 2;
            if (self[middle].epoch <= epoch - 2) low = middle + 1;
            else high = middle;
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice The revision that stood at the end of an epoch.
struct Recorded {
    bytes32 root;
    uint64 leaves;
    uint64 sequence;
    uint32 epoch;
}

/// @notice The newest revision, and how many epochs before its own have one. All zero before the first.
struct Head {
    uint64 bytesUp;
    uint64 bytesDown;
    uint40 leaves;
    uint32 sequence;
    uint32 epoch;
    uint24 older;
}

/// @notice An agreement's revisions by the epoch of their recording, one an epoch: the last.
/// @param digest EIP-712 digest of the newest.
/// @param roots Of the newest three, by their number modulo three: a challenge is over one of them, and older ones are told
/// by events.
/// @param past Those before the newest, two a word: epoch, sequence and leaves of each.
struct Revisions {
    Head head;
    bytes32 digest;
    bytes32[3] roots;
    mapping(uint256 word => uint256) past;
}

/// @notice Records revisions, and finds the one in force in an epoch.
library History {
    uint256 private constant ROOTS = 3;

    /// @notice Adds a revision, in place of an earlier one of the same epoch. Epochs never go back.
    /// @param head The newest so far, with the new one's traffic.
    function record(Revisions storage self, Head memory head, Recorded memory entry, bytes32 digest) internal {
        if (head.sequence != 0 && head.epoch != entry.epoch) {
            uint256 index = head.older++;
            uint256 packed = uint256(head.epoch) << 72 | uint256(head.sequence) << 40 | head.leaves;
            self.past[index >> 1] |= packed << ((index & 1) * 128);
        }
        head.leaves = uint40(entry.leaves);
        head.sequence = uint32(entry.sequence);
        head.epoch = entry.epoch;
        self.head = head;
        self.digest = digest;
        self.roots[head.older % ROOTS] = entry.root;
    }

    /// @notice The newest entry; all zero if there is none.
    function newest(Revisions storage self) internal view returns (Recorded memory) {
        Head memory head = self.head;
        return Recorded(self.roots[head.older % ROOTS], head.leaves, head.sequence, head.epoch);
    }

    /// @notice The entry in effect two epochs later: the newest that was recorded in epoch - 2 or before, or all zero.
    /// Challenges are over it, because the links that make an epoch's seed become public during the epoch before. Its root
    /// is zero when three newer epochs have revisions.
    function frozenAt(Revisions storage self, uint32 epoch) internal view returns (Recorded memory entry) {
        Head memory head = self.head;
        uint256 after_ = countUntil(self, head, epoch);
        if (after_ == 0) return entry;
        entry = at(self, head, after_ - 1);
        if (after_ + ROOTS > head.older + 1) entry.root = self.roots[(after_ - 1) % ROOTS];
    }

    /// @notice How many entries were recorded in epoch - 2 or before.
    function countUntil(Revisions storage self, Head memory head, uint32 epoch) internal view returns (uint256 low) {
        if (epoch < 2 || head.sequence == 0) return 0;
        uint256 high = uint256(head.older) + 1;
        // One of the newest three, unless it is asked about the past.
        for (uint256 i = 0; i < ROOTS && high != 0; ++i) {
            if (at(self, head, high - 1).epoch <= epoch - 2) return high;
            --high;
        }
        while (low < high) {
            uint256 middle = (low + high) / 2;
            if (at(self, head, middle).epoch <= epoch - 2) low = middle + 1;
            else high = middle;
        }
    }

    /// @notice An entry by its number, from 0, without its root.
    function at(Revisions storage self, Head memory head, uint256 index) internal view returns (Recorded memory entry) {
        if (index == head.older) return Recorded(0, head.leaves, head.sequence, head.epoch);
        uint256 packed = self.past[index >> 1] >> ((index & 1) * 128);
        entry.leaves = uint40(packed);
        entry.sequence = uint32(packed >> 40);
        entry.epoch = uint32(packed >> 72);
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Terms} from "peerage/types/Types.sol";

/// @notice What one agreement should have come to, kept in the plainest way: one epoch after the other, from what the test saw
/// happen, sharing no code with the contracts.
library Books {
    struct Book {
        uint32 client;
        uint32 provider;
        uint64 price;
        uint64 collateral;
        uint32 start;
        uint32 end;
        uint32 minRetention;
        uint32 next;
        // The newest leaf counts, by the epoch of their recording.
        uint32[] revisedIn;
        uint64[] leaves;
        uint64 sequence;
        mapping(uint32 epoch => bool) proven;
        uint32 lastProven;
        // The outcome so far.
        uint256 paid;
        uint256 lastPay;
        uint256 deferred;
        uint256 misses;
        uint256 voided;
        // The client's announced removal.
        uint64 removal;
        uint256 removalSince;
    }

    enum Verdict {
        NOTHING,
        PAID,
        VOID,
        MISSED
    }

    function begin(Book storage self, Terms memory terms, uint32 epoch) internal {
        self.client = terms.client;
        self.provider = terms.provider;
        self.price = terms.pricePerGibEpoch;
        self.collateral = terms.collateral;
        self.start = terms.startEpoch;
        self.end = terms.endEpoch;
        self.minRetention = terms.minRetentionEpochs;
        self.next = terms.startEpoch > epoch ? terms.startEpoch : epoch;
    }

    function revised(Book storage self, uint64 leaves, uint32 epoch) internal {
        ++self.sequence;
        self.revisedIn.push(epoch);
        self.leaves.push(leaves);
    }

    function proved(Book storage self, uint32 epoch) internal {
        self.proven[epoch] = true;
        self.lastProven = epoch;
    }

    function newest(Book storage self) internal view returns (uint64) {
        return self.leaves.length == 0 ? 0 : self.leaves[self.leaves.length - 1];
    }

    /// @notice The leaves that a challenge in an epoch is over.
    function leavesAt(Book storage self, uint32 epoch) internal view returns (uint64) {
        for (uint256 i = self.leaves.length; i != 0; --i) {
            if (self.revisedIn[i - 1] + 2 <= epoch) return self.leaves[i - 1];
        }
        return 0;
    }

    function payOf(Book storage self, uint64 leaves) internal view returns (uint256) {
        return (uint256(leaves) * 1024 * self.price + (1 << 30) - 1) >> 30;
    }

    /// @notice Judges the next epoch. quorate: of the epoch before, of itself, and of the one after.
    function judge(Book storage self, bool[3] memory quorate) internal returns (Verdict) {
        uint32 epoch = self.next++;
        uint64 leaves = leavesAt(self, epoch);
        if (leaves == 0) return Verdict.NOTHING;
        uint256 pay = payOf(self, leaves);
        bool valid = quorate[0] && quorate[1];
        bool kept = self.proven[epoch];
        if (!valid || (!kept && !quorate[2])) {
            self.deferred += pay;
            ++self.voided;
            return Verdict.VOID;
        }
        if (!kept) {
            ++self.misses;
            return Verdict.MISSED;
        }
        self.lastPay = pay + self.deferred;
        self.paid += self.lastPay;
        self.deferred = 0;
        return Verdict.PAID;
    }
}

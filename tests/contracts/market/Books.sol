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
        uint64 egressPrice;
        uint64 collateral;
        uint32 start;
        uint32 end;
        uint32 minRetention;
        // What the quality clause asks for, and withholds.
        uint32 minDown;
        uint256 withheld;
        uint32 next;
        // The newest leaf counts, by the epoch of their recording.
        uint32[] revisedIn;
        uint64[] leaves;
        uint64 sequence;
        uint64 bytesDown;
        uint64 bytesCharged;
        mapping(uint32 epoch => bool) proven;
        uint32 lastProven;
        // The outcome so far.
        uint256 paid;
        uint256 lastPay;
        uint256 deferred;
        uint256 traffic;
        // Pay of the epochs judged, up to the one in which everything was lost.
        uint256 possible;
        uint256 misses;
        uint256 voided;
        uint256 excused;
        uint256 impaired;
        // The client's announced removal.
        uint64 removal;
        uint256 removalSince;
    }

    /// @notice What was seen of an epoch. before, itself, after: which were quorate.
    struct Seen {
        bool before;
        bool itself;
        bool after_;
        bool maintenance;
        bool impaired;
        bool short;
    }

    function begin(Book storage self, Terms memory terms, uint32 epoch) internal {
        self.client = terms.client;
        self.provider = terms.provider;
        self.price = terms.pricePerGibEpoch;
        self.egressPrice = terms.egressPricePerGib;
        self.collateral = terms.collateral;
        self.start = terms.startEpoch;
        self.end = terms.endEpoch;
        self.minRetention = terms.minRetentionEpochs;
        self.minDown = uint32(uint256(terms.qualityClause) >> 216);
        self.withheld = uint8(uint256(terms.qualityClause) >> 144);
        self.next = terms.startEpoch > epoch ? terms.startEpoch : epoch;
    }

    function revised(Book storage self, uint64 leaves, uint64 bytesDown, uint32 epoch) internal {
        ++self.sequence;
        self.bytesDown = bytesDown;
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

    /// @notice Traffic is charged by a settlement before it judges, to be earned by the next proof.
    function charge(Book storage self, uint64 bytesDown) internal {
        uint256 amount = (uint256(bytesDown - self.bytesCharged) * self.egressPrice + (1 << 30) - 1) >> 30;
        self.deferred += amount;
        self.traffic += amount;
        self.bytesCharged = bytesDown;
    }

    /// @notice Judges the next epoch.
    function judge(Book storage self, Seen memory seen, uint32 lostIn) internal {
        uint32 epoch = self.next++;
        uint64 leaves = leavesAt(self, epoch);
        if (leaves == 0) return;
        uint256 pay = payOf(self, leaves);
        bool kept = self.proven[epoch];
        if (lostIn == 0 || epoch <= lostIn) self.possible += pay;
        if (seen.short) pay = pay * (100 - self.withheld) / 100;
        if (!seen.before || !seen.itself || (!kept && !seen.after_)) {
            self.deferred += pay;
            ++self.voided;
        } else if (kept && seen.impaired) {
            ++self.impaired;
        } else if (kept) {
            self.lastPay = pay + self.deferred;
            self.paid += self.lastPay;
            self.deferred = 0;
        } else if (seen.maintenance) {
            ++self.excused;
        } else {
            ++self.misses;
        }
    }
}

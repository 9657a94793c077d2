// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Params} from "../types/Types.sol";

/// @notice The rules of the market that the consortium may change, in one word, so that a contract reads them with one
/// load. Fields and units as in Params.
type Rules is uint256;

using RuleSet for Rules global;

/// @notice Packs and bounds the rules. Bits from the lowest: samples 16, graceEpochs 16, escrowEpochs 16, windowEpochs 8,
/// failAt 8, standDownAfter 16, repairEpochs 16, minCapacityMib 16, noticeEpochs 16, appealEpochs 16, decideEpochs 16,
/// maintenanceEpochs 16, demandEpochs 8, demandCap 8, committee 8, demandDeposit 32.
library RuleSet {
    error BadRule(string field);

    /// @dev As wide as the bits that Clearing keeps of each agreement's misses.
    uint256 private constant MAX_WINDOW = 64;
    uint256 private constant MAX_SAMPLES = 256;
    uint256 private constant MAX_COMMITTEE = 16;

    /// @notice The rules of `params`, a zero standing for the default. Reverts with BadRule for one out of range.
    function pack(Params memory params) internal pure returns (Rules) {
        fill(params);
        if (params.samples > MAX_SAMPLES) revert BadRule("samples");
        if (params.windowEpochs > MAX_WINDOW) revert BadRule("windowEpochs");
        if (params.failAt > params.windowEpochs) revert BadRule("failAt");
        if (params.maintenanceEpochs > 256) revert BadRule("maintenanceEpochs");
        if (params.committee > MAX_COMMITTEE) revert BadRule("committee");
        uint256 low = uint256(params.samples) | uint256(params.graceEpochs) << 16 | uint256(params.escrowEpochs) << 32
            | uint256(params.windowEpochs) << 48 | uint256(params.failAt) << 56 | uint256(params.standDownAfter) << 64
            | uint256(params.repairEpochs) << 80 | uint256(params.minCapacityMib) << 96;
        uint256 high = uint256(params.noticeEpochs) | uint256(params.appealEpochs) << 16 | uint256(params.decideEpochs)
            << 32 | uint256(params.maintenanceEpochs) << 48 | uint256(params.demandEpochs) << 64
            | uint256(params.demandCap) << 72 | uint256(params.committee) << 80 | uint256(params.demandDeposit) << 88;
        return Rules.wrap(low | high << 112);
    }

    /// @notice Writes the rules into their fields of `params`.
    function unpack(Rules self, Params memory params) internal pure {
        params.samples = uint16(samples(self));
        params.graceEpochs = uint16(graceEpochs(self));
        params.escrowEpochs = uint16(escrowEpochs(self));
        params.windowEpochs = uint8(windowEpochs(self));
        params.failAt = uint8(failAt(self));
        params.standDownAfter = uint16(standDownAfter(self));
        params.repairEpochs = uint16(repairEpochs(self));
        params.minCapacityMib = uint16(minCapacity(self) >> 20);
        params.noticeEpochs = uint16(noticeEpochs(self));
        params.appealEpochs = uint16(appealEpochs(self));
        params.decideEpochs = uint16(decideEpochs(self));
        params.maintenanceEpochs = uint16(maintenanceEpochs(self));
        params.demandEpochs = uint8(demandEpochs(self));
        params.demandCap = uint8(demandCap(self));
        params.committee = uint8(committee(self));
        params.demandDeposit = uint32(demandDeposit(self));
    }

    /// @notice Puts the default where a zero stands.
    function fill(Params memory params) internal pure {
        if (params.samples == 0) params.samples = 8;
        if (params.graceEpochs == 0) params.graceEpochs = 16;
        if (params.escrowEpochs == 0) params.escrowEpochs = 32;
        if (params.windowEpochs == 0) params.windowEpochs = 16;
        if (params.failAt == 0) params.failAt = 6;
        if (params.standDownAfter == 0) params.standDownAfter = 64;
        if (params.repairEpochs == 0) params.repairEpochs = 16;
        if (params.minCapacityMib == 0) params.minCapacityMib = 1;
        if (params.noticeEpochs == 0) params.noticeEpochs = 32;
        if (params.appealEpochs == 0) params.appealEpochs = 24;
        if (params.decideEpochs == 0) params.decideEpochs = 72;
        if (params.maintenanceEpochs == 0) params.maintenanceEpochs = 16;
        if (params.demandEpochs == 0) params.demandEpochs = 4;
        if (params.demandCap == 0) params.demandCap = 16;
        if (params.committee == 0) params.committee = 5;
        if (params.demandDeposit == 0) params.demandDeposit = 1000;
    }

    function samples(Rules self) internal pure returns (uint256) {
        return _field(self, 0, 16);
    }

    function graceEpochs(Rules self) internal pure returns (uint256) {
        return _field(self, 16, 16);
    }

    function escrowEpochs(Rules self) internal pure returns (uint256) {
        return _field(self, 32, 16);
    }

    function windowEpochs(Rules self) internal pure returns (uint256) {
        return _field(self, 48, 8);
    }

    function failAt(Rules self) internal pure returns (uint256) {
        return _field(self, 56, 8);
    }

    function standDownAfter(Rules self) internal pure returns (uint256) {
        return _field(self, 64, 16);
    }

    function repairEpochs(Rules self) internal pure returns (uint256) {
        return _field(self, 80, 16);
    }

    /// @notice In bytes.
    function minCapacity(Rules self) internal pure returns (uint256) {
        return _field(self, 96, 16) << 20;
    }

    function noticeEpochs(Rules self) internal pure returns (uint256) {
        return _field(self, 112, 16);
    }

    function appealEpochs(Rules self) internal pure returns (uint256) {
        return _field(self, 128, 16);
    }

    function decideEpochs(Rules self) internal pure returns (uint256) {
        return _field(self, 144, 16);
    }

    function maintenanceEpochs(Rules self) internal pure returns (uint256) {
        return _field(self, 160, 16);
    }

    function demandEpochs(Rules self) internal pure returns (uint256) {
        return _field(self, 176, 8);
    }

    function demandCap(Rules self) internal pure returns (uint256) {
        return _field(self, 184, 8);
    }

    function committee(Rules self) internal pure returns (uint256) {
        return _field(self, 192, 8);
    }

    /// @notice In micro-credits a leaf.
    function demandDeposit(Rules self) internal pure returns (uint256) {
        return _field(self, 200, 32);
    }

    function _field(Rules self, uint256 shift, uint256 bits) private pure returns (uint256) {
        return (Rules.unwrap(self) >> shift) & ((1 << bits) - 1);
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IMembers} from "../interfaces/IMembers.sol";
import {MemberKeys} from "./MemberKeys.sol";

/// @notice The part of Members that keeps declared maintenance: one bit a member and epoch. See IMembers.
abstract contract Maintenance is MemberKeys {
    /// @dev The links that make the challenges of e become public in e - 1: what is declared or cancelled later could
    /// depend on them.
    uint32 private constant AHEAD = 2;
    uint256 private constant EPOCHS_PER_WORD = 256;

    mapping(uint32 member => mapping(uint256 word => uint256)) private _windows;

    /// @inheritdoc IMembers
    function declareMaintenance(uint32 from, uint32 to) external override {
        uint32 member = _change(from, to, true);
        emit MaintenanceDeclared(member, from, to);
    }

    /// @inheritdoc IMembers
    function cancelMaintenance(uint32 from, uint32 to) external override {
        uint32 member = _change(from, to, false);
        emit MaintenanceCancelled(member, from, to);
    }

    /// @inheritdoc IMembers
    function maintenanceWord(uint32 member, uint32 word) external view override returns (uint256) {
        return _windows[member][word];
    }

    function _change(uint32 from, uint32 to, bool declared) private returns (uint32 member) {
        member = memberOf(msg.sender);
        if (member == 0) revert NotAMember(msg.sender);
        uint32 earliest = currentEpoch() + AHEAD;
        if (from < earliest || to <= from) revert BadWindow(from, to, earliest);
        uint256 budget = _rules().maintenanceEpochs();
        for (uint256 word = from / EPOCHS_PER_WORD; word * EPOCHS_PER_WORD < to; ++word) {
            uint256 bits = _between(from, to, word * EPOCHS_PER_WORD);
            uint256 kept = declared ? _windows[member][word] | bits : _windows[member][word] & ~bits;
            uint256 used = _count(kept);
            if (declared && used > budget) revert OverBudget(member, uint32(word), used, budget);
            _windows[member][word] = kept;
        }
    }

    /// @dev Bit i: from <= first + i < to, where first is the first epoch of a word that the range touches.
    function _between(uint256 from, uint256 to, uint256 first) private pure returns (uint256 bits) {
        bits = type(uint256).max;
        if (from > first) bits <<= from - first;
        if (to < first + EPOCHS_PER_WORD) bits &= (1 << (to - first)) - 1;
    }

    function _count(uint256 bits) private pure returns (uint256 number) {
        for (; bits != 0; bits &= bits - 1) {
            ++number;
        }
    }
}

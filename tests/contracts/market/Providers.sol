// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Possession} from "peerage/types/Types.sol";
import {Books} from "./Books.sol";
import {SumTrees} from "../SumTrees.sol";
import {Weather} from "./Weather.sol";

/// @notice What providers do besides their duty.
abstract contract Providers is Weather {
    using Books for Books.Book;

    /// @dev The lossy provider's disk breaks: the first leaves of an agreement are gone, now and then all of them.
    function lose(uint8 which, uint16 leaves) external act {
        bytes32 id = _anyOf(LOSSY, which);
        if (id == 0 || lostAllIn[id] != 0) return;
        uint64 gone = leaves % 5 == 0 ? type(uint64).max : leaves % MAX_LEAVES;
        if (gone <= lost[id]) return;
        lost[id] = gone;
        if (gone == type(uint64).max) lostAllIn[id] = epoch;
        _done();
    }

    /// @dev Maintenance of any provider but the honest one, declared or taken back; only in time and within the budget.
    function maintain(uint8 who, uint8 ahead, uint8 epochs, bool back) external act {
        uint32 member = 3 + who % (MEMBERS - 2);
        uint32 from = epoch + ahead % 8;
        uint32 to = from + 1 + epochs % 8;
        vm.prank(node(member));
        (bool done, bytes memory reason) = address(members)
            .call(
                back
                    ? abi.encodeCall(members.cancelMaintenance, (from, to))
                    : abi.encodeCall(members.declareMaintenance, (from, to))
            );
        require(!done || from >= epoch + 2, "declared or cancelled too late");
        if (done) _done();
        else _refused(reason);
    }

    /// @dev A day on which whoever lacks the data tries what it can make up: another agreement's data, or leaves of its own
    /// that are not asked for.
    function forge(uint8 proving, uint8 other, uint8 how) external act {
        _day(255, proving);
        for (uint256 i = 0; i < ids.length; ++i) {
            bytes32 id = ids[i];
            if (book[id].provider != CHEAT && lostAllIn[id] == 0) continue;
            (bool due,,,, uint64 leaves, uint64[] memory indices) = proofs.challenge(id, epoch);
            if (!due || book[id].proven[epoch]) continue;
            Possession[] memory answers = new Possession[](1);
            answers[0] = how % 3 == 0 ? _ofAnother(id, _any(other), leaves, indices) : _forged(id, leaves, indices, how);
            vm.prank(node(book[id].provider));
            try proofs.prove(answers) {
                revert("forged");
            } catch (bytes memory reason) {
                _refused(reason);
            }
        }
        _done();
    }

    function _ofAnother(bytes32 id, bytes32 other, uint64 leaves, uint64[] memory indices)
        private
        pure
        returns (Possession memory)
    {
        bytes32 tag = other == id ? keccak256("made up") : other;
        return possessionFrom(treeOf(tag, leaves), id, indices);
    }

    /// @dev The right data as other leaves than those that are asked for.
    function _forged(bytes32 id, uint64 leaves, uint64[] memory indices, uint8 how)
        private
        pure
        returns (Possession memory)
    {
        if (leaves == indices.length) return possessionFrom(treeOf("made up", leaves), id, indices);
        uint64 other = how % leaves;
        while (SumTrees.within(indices, other, other + 1)) other = (other + 1) % leaves;
        indices[how % indices.length] = other;
        return possessionFrom(treeOf(id, leaves), id, indices);
    }
}

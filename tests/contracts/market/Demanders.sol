// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Demand, DemandState} from "peerage/interfaces/IDemands.sol";
import {SumTrees} from "../SumTrees.sol";
import {Books} from "./Books.sol";
import {Weather} from "./Weather.sol";

/// @notice Demands for leaves, their answers, and the deposits; and losses that providers report themselves.
abstract contract Demanders is Weather {
    using Books for Books.Book;
    using SumTrees for SumTrees.Tree;

    mapping(uint32 member => uint256) public setAside;
    mapping(uint32 member => uint256) public answersEarned;
    mapping(uint32 member => uint256) public answersPaid;

    /// @dev Mostly by the client. The honest provider answers on its next day.
    function demand(uint8 who, uint8 which, uint16 first, uint8 number) external act {
        if (ids.length == 0) return;
        bytes32 id = _any(which);
        uint32 member = who < 224 ? book[id].client : _member(who);
        (, uint64 leaves,) = agreements.frozen(id, epoch);
        uint64[] memory indices = new uint64[](number % 4);
        for (uint256 i = 0; i < indices.length; ++i) {
            indices[i] = uint64((leaves == 0 ? 0 : first % leaves) + i);
        }
        vm.prank(node(member));
        try demands.demand(id, indices) returns (uint256 made) {
            require(member == book[id].client && indices.length != 0, "demanded");
            setAside[member] += demands.get(made).deposit;
            _done();
        } catch (bytes memory reason) {
            _refused(reason);
        }
    }

    /// @dev Any demand is answered by whoever keeps the data, or by one who does not.
    function answerDemand(uint8 which, bool truly) external act {
        if (demands.count() != 0) _answer(1 + which % demands.count(), truly);
    }

    function closeDemand(uint8 which) external act {
        if (demands.count() == 0) return;
        uint256 made = 1 + which % demands.count();
        Demand memory known = demands.get(made);
        try demands.close(made) {
            require(known.state == DemandState.OPEN && epoch > known.until, "closed");
            require(
                known.provider != HONEST || demands.get(made).state == DemandState.VOID,
                "an honest provider owes an answer"
            );
            setAside[known.client] -= known.deposit;
            _done();
        } catch (bytes memory reason) {
            _refused(reason);
        }
    }

    /// @dev The lossy provider owns up: to what it has lost, or to everything.
    function reportLoss(uint8 which, bool all) external act {
        bytes32 id = _anyOf(LOSSY, which);
        if (id == 0) return;
        uint64 held = book[id].newest();
        uint64 gone = all || lost[id] > held ? held : lost[id];
        vm.prank(node(LOSSY));
        try proofs.reportLoss(id, 0, gone) {
            _done();
        } catch (bytes memory reason) {
            _refused(reason);
        }
    }

    /// @dev It says that it has the leaves again: truly, unless all of them are gone.
    function reportRestored(uint8 which, bool truly) external act {
        bytes32 id = _anyOf(LOSSY, which);
        if (id == 0) return;
        vm.prank(node(LOSSY));
        try proofs.reportRestored(id) {
            if (truly && lostAllIn[id] == 0) lost[id] = 0;
            _done();
        } catch (bytes memory reason) {
            _refused(reason);
        }
    }

    function _duties() internal override {
        uint256[] memory open_ = demands.openOf(HONEST);
        for (uint256 i = 0; i < open_.length; ++i) {
            if (epoch <= demands.get(open_[i]).until) _answer(open_[i], true);
        }
    }

    function _answer(uint256 made, bool truly) private {
        Demand memory known = demands.get(made);
        uint32 provider = known.provider;
        bool able = provider != CHEAT && known.indices[0] >= lost[known.agreement] && truly;
        if (!truly && provider == HONEST) return;
        bytes32 tag = able ? known.agreement : keccak256("made up");
        bytes memory proof = treeOf(tag, known.leaves).proof(known.indices);
        vm.prank(node(provider));
        try demands.answer(made, proof) {
            require(able && known.state == DemandState.OPEN && epoch <= known.until, "answered");
            setAside[known.client] -= known.deposit;
            answersPaid[known.client] += known.deposit;
            answersEarned[provider] += known.deposit;
            _done();
        } catch (bytes memory reason) {
            require(provider != HONEST || known.state != DemandState.OPEN || epoch > known.until, "not answered");
            _refused(reason);
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IDirectory} from "peerage/interfaces/IDirectory.sol";
import {IMembers} from "peerage/interfaces/IMembers.sol";
import {IProofs} from "peerage/interfaces/IProofs.sol";
import {RuleSet} from "peerage/libraries/RuleSet.sol";
import {Params, Possession} from "peerage/types/Types.sol";
import {Network} from "./Network.sol";

/// @notice Refusals that no ordinary use meets.
contract EdgesTest is Network {
    uint32 internal constant CLIENT = 1;
    uint32 internal constant PROVIDER = 2;
    uint64 internal constant LEAVES = 40;

    function setUp() public {
        deploy();
        join(4);
        toEpoch(2);
        beatAll();
    }

    function test_announceRules_refusesRulesOutOfRange() public {
        Params memory params = directory.params();
        params.maintenanceEpochs = 257;
        _refuses(params, 60, abi.encodeWithSelector(RuleSet.BadRule.selector, "maintenanceEpochs"));
        params.maintenanceEpochs = 256;
        params.committee = 17;
        _refuses(params, 60, abi.encodeWithSelector(RuleSet.BadRule.selector, "committee"));
        params.committee = 16;
        _refuses(params, 1 << 24, abi.encodeWithSelector(IDirectory.BadParameter.selector, "fromEpoch"));
        vm.prank(operator);
        directory.announceRules(params, (1 << 24) - 1);
    }

    function test_suspend_refusesAnUnknownMember() public {
        vm.startPrank(operator);
        vm.expectRevert(abi.encodeWithSelector(IMembers.UnknownMember.selector, 99));
        members.suspend(99);
        vm.expectRevert(abi.encodeWithSelector(IMembers.UnknownMember.selector, 0));
        members.suspend(0);
        vm.stopPrank();
    }

    /// @dev All leaves are reported lost, so none is asked for; one is opened all the same.
    function test_prove_refusesALeafThatIsNotAskedFor() public {
        bytes32 id = openBetween(CLIENT, PROVIDER);
        revise(id, LEAVES);
        toEpoch(3);
        beatAll();
        vm.prank(node(PROVIDER));
        proofs.reportLoss(id, 0, LEAVES);
        for (uint256 epoch = 4; epoch <= 5; ++epoch) {
            toEpoch(epoch);
            beatAll();
        }
        (,,,,, uint64[] memory asked) = proofs.challenge(id, 5);
        uint64[] memory other = new uint64[](1);
        other[0] = asked.length != 0 && asked[0] == 0 ? 1 : 0;
        Possession memory answer = possessionFrom(treeOf(id, LEAVES), id, other);
        vm.expectRevert(abi.encodeWithSelector(IProofs.WrongLeaf.selector, id, LEAVES, other[0]));
        send(PROVIDER, answer);
    }

    function _refuses(Params memory params, uint32 fromEpoch, bytes memory expected) private {
        vm.expectRevert(expected);
        vm.prank(operator);
        directory.announceRules(params, fromEpoch);
    }
}

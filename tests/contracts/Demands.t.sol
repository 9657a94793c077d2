// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IDemands, Demand, DemandState} from "peerage/interfaces/IDemands.sol";
import {IPeered} from "peerage/interfaces/IPeered.sol";
import {AgreementState} from "peerage/types/Types.sol";
import {SumTree} from "peerage/libraries/SumTree.sol";
import {Network} from "./Network.sol";
import {SumTrees} from "./SumTrees.sol";

/// @notice Forced publication of leaves, and what both sides try to make of it.
contract DemandsTest is Network {
    using SumTrees for SumTrees.Tree;

    uint32 internal constant CLIENT = 1;
    uint32 internal constant PROVIDER = 2;
    uint32 internal constant OTHER = 3;
    uint64 internal constant LEAVES = 40;
    uint256 internal constant DEPOSIT = 1000;

    bytes32 internal id;

    function setUp() public {
        deploy();
        join(4);
        toEpoch(2);
        beatAll();
        id = openBetween(CLIENT, PROVIDER);
        revise(id, LEAVES);
        for (uint256 epoch = 3; epoch <= 4; ++epoch) {
            toEpoch(epoch);
            beatAll();
        }
    }

    function test_answer_publishesAndEarnsTheDeposit() public {
        uint64[] memory indices = some(3, 9);
        uint256 client = clearing.balanceOf(CLIENT);
        uint256 provider = clearing.balanceOf(PROVIDER);
        bytes32 root = treeOf(id, LEAVES).root();
        vm.expectEmit(address(demands));
        emit IDemands.Demanded(1, id, PROVIDER, CLIENT, root, LEAVES, indices, 8, 3 * DEPOSIT);
        uint256 number = demand(indices);
        assertEq(number, demands.count());
        assertEq(clearing.balanceOf(CLIENT), client - 3 * DEPOSIT);
        assertEq(clearing.reserved(), 3 * DEPOSIT);
        assertEq(demands.openOf(PROVIDER).length, 1);
        Demand memory shown = demands.get(number);
        assertEq(shown.until, 8);
        assertEq(shown.indices[2], indices[2]);

        toEpoch(8);
        bytes memory proof = treeOf(id, LEAVES).proof(indices);
        vm.expectEmit(address(demands));
        emit IDemands.Answered(number, id, proof);
        answer(number, proof);
        assertEq(clearing.balanceOf(PROVIDER), provider + 3 * DEPOSIT);
        assertEq(clearing.reserved(), 0);
        assertEq(demands.openOf(PROVIDER).length, 0);
        assertEq(uint256(demands.get(number).state), uint256(DemandState.ANSWERED));
        assertEq(credit.balanceOf(address(clearing)), clearing.total());
        vm.expectRevert(abi.encodeWithSelector(IDemands.NotOpen.selector, number, DemandState.ANSWERED));
        answer(number, proof);
    }

    function test_answer_isAboutTheRevisionThatWasFrozen() public {
        revise(id, LEAVES + 10);
        uint64[] memory indices = some(2, 11);
        uint256 number = demand(indices);
        days_(3);
        answer(number, treeOf(id, LEAVES).proof(indices));
    }

    function test_close_voidWhenAnEpochWas() public {
        uint256 client = clearing.balanceOf(CLIENT);
        uint256 collateral = clearing.collateralOf(id);
        uint256 number = demand(some(1, 1));
        days_(2);
        toEpoch(9); // nobody beat from 7 on
        vm.expectEmit(address(demands));
        emit IDemands.Closed(number, id, DemandState.VOID);
        demands.close(number);
        assertEq(clearing.balanceOf(CLIENT), client);
        assertEq(clearing.collateralOf(id), collateral);
    }

    function test_demand_refusals() public {
        uint64[] memory indices = some(1, 1);
        vm.expectRevert(abi.encodeWithSelector(IDemands.NotTheClient.selector, id, PROVIDER));
        vm.prank(node(PROVIDER));
        demands.demand(id, indices);
        vm.expectRevert(abi.encodeWithSelector(IDemands.NotTheClient.selector, bytes32("unknown"), CLIENT));
        vm.prank(node(CLIENT));
        demands.demand("unknown", indices);
        vm.expectRevert(abi.encodeWithSelector(IPeered.NotAMember.selector, address(this)));
        demands.demand(id, indices);
        vm.expectRevert(abi.encodeWithSelector(IDemands.BadIndices.selector, id, 0));
        demand(new uint64[](0));
        indices[0] = LEAVES;
        vm.expectRevert(abi.encodeWithSelector(IDemands.BadIndices.selector, id, 0));
        demand(indices);
        indices = some(3, 1);
        indices[2] = indices[1];
        vm.expectRevert(abi.encodeWithSelector(IDemands.BadIndices.selector, id, 2));
        demand(indices);
    }

    function test_demand_refusesWhatCouldNotBeClosedInTime() public {
        uint64[] memory indices = some(1, 1);
        days_(34);
        toEpoch(38);
        vm.expectRevert(abi.encodeWithSelector(IDemands.DemandTooLate.selector, id, 42, 42));
        demand(indices);
        toEpoch(37);
        demand(indices);
    }

    function test_demand_refusesAnAgreementThatIsOver() public {
        days_(10);
        toSecondHalf();
        clearing.settle(id);
        uint64[] memory indices = some(1, 1);
        vm.expectRevert(abi.encodeWithSelector(IDemands.NotLive.selector, id, AgreementState.FAILED));
        demand(indices);
    }

    function test_answer_refusals() public {
        uint64[] memory indices = some(2, 7);
        uint256 number = demand(indices);
        bytes memory proof = treeOf(id, LEAVES).proof(indices);
        vm.expectRevert(abi.encodeWithSelector(IDemands.NotTheProvider.selector, number, OTHER));
        vm.prank(node(OTHER));
        demands.answer(number, proof);
        vm.expectRevert(abi.encodeWithSelector(IDemands.NotOpen.selector, 7, DemandState.NONE));
        answer(7, proof);
        vm.expectRevert(abi.encodeWithSelector(IDemands.CloseTooEarly.selector, number, 8, 4));
        demands.close(number);
        toEpoch(9);
        vm.expectRevert(abi.encodeWithSelector(IDemands.AnswerTooLate.selector, number, 8, 9));
        answer(number, proof);
    }

    /// @dev It proves every epoch and serves nobody. Either the data is published, or it costs a fifth of the collateral.
    function test_attack_withholdsDataThatItProves() public {
        uint256 client = clearing.balanceOf(CLIENT);
        uint256 collateral = clearing.collateralOf(id);
        uint256 number = demand(some(16, 1));
        for (uint256 i = 0; i < 5; ++i) {
            nextEpoch();
            beatAll();
            prove(id);
        }
        vm.expectEmit(address(demands));
        emit IDemands.Closed(number, id, DemandState.UNANSWERED);
        demands.close(number);
        assertGe(clearing.balanceOf(CLIENT), client);
        assertEq(clearing.collateralOf(id), collateral - uint256(10 * CREDITS) / 5);
        assertEq(credit.balanceOf(address(clearing)), clearing.total());
        vm.expectRevert(abi.encodeWithSelector(IDemands.NotOpen.selector, number, DemandState.UNANSWERED));
        demands.close(number);
    }

    function test_attack_answersByOtherLeavesThanTheDemanded() public {
        uint256 number = demand(some(2, 7));
        SumTrees.Tree memory tree = treeOf(id, LEAVES);
        bytes memory proof = tree.proof(some(2, 8));
        vm.expectRevert(abi.encodeWithSelector(IDemands.WrongAnswer.selector, number, tree.root(), LEAVES));
        answer(number, proof);
        proof = tree.proof(some(1, 7));
        vm.expectRevert(abi.encodeWithSelector(IDemands.WrongAnswer.selector, number, tree.root(), LEAVES));
        answer(number, proof);
        proof = tree.proof(some(3, 7));
        vm.expectPartialRevert(SumTree.MalformedProof.selector);
        answer(number, proof);
        SumTrees.Tree memory other = treeOf("made up", LEAVES);
        proof = other.proof(some(2, 7));
        bytes32 root = other.root();
        vm.expectRevert(abi.encodeWithSelector(IDemands.WrongAnswer.selector, number, root, LEAVES));
        answer(number, proof);
    }

    /// @dev Sixteen leaves of an agreement and epoch, in one demand or in many, and each of them is paid for.
    function test_attack_demandsToBuryAProvider() public {
        uint64[] memory many = some(17, 1);
        vm.expectRevert(abi.encodeWithSelector(IDemands.OverCap.selector, id, 17, 16));
        demand(many);
        demand(some(9, 1));
        demand(some(7, 2));
        uint64[] memory one = some(1, 1);
        vm.expectRevert(abi.encodeWithSelector(IDemands.OverCap.selector, id, 17, 16));
        demand(one);
        nextEpoch();
        demand(some(16, 1));
        assertEq(demands.openOf(PROVIDER).length, 3);
        assertEq(clearing.reserved(), 32 * DEPOSIT);
    }

    /// @dev What the client demands, it pays for in advance; what the provider answers, it earns.
    function test_attack_demandsToBankruptAProvider() public {
        uint256 before = clearing.balanceOf(PROVIDER);
        for (uint256 i = 0; i < 5; ++i) {
            uint64[] memory indices = some(16, 1 + i % 2);
            answer(demand(indices), treeOf(id, LEAVES).proof(indices));
            nextEpoch();
            beatAll();
        }
        assertEq(clearing.balanceOf(PROVIDER), before + 5 * 16 * DEPOSIT);
        uint256 all = clearing.balanceOf(CLIENT);
        vm.prank(account(CLIENT));
        clearing.withdraw(all, account(CLIENT));
        uint64[] memory one = some(1, 1);
        vm.expectPartialRevert(bytes4(keccak256("InsufficientBalance(uint32,uint256,uint256)")));
        demand(one);
    }

    function test_attack_demandsWhatWasReportedLost() public {
        vm.prank(node(PROVIDER));
        proofs.reportLoss(id, 10, 5);
        uint64[] memory indices = some(3, 7);
        vm.expectRevert(abi.encodeWithSelector(IDemands.LeafReportedLost.selector, id, 14));
        demand(indices);
        demand(some(3, 9));
        vm.prank(node(PROVIDER));
        proofs.reportRestored(id);
        days_(2);
        demand(indices);
    }

    function test_attack_demandsDuringDeclaredMaintenance() public {
        vm.prank(node(PROVIDER));
        members.declareMaintenance(8, 9);
        uint64[] memory indices = some(1, 7);
        vm.expectRevert(abi.encodeWithSelector(IDemands.InMaintenance.selector, PROVIDER, 8));
        demand(indices);
        days_(5);
        demand(indices);
    }

    /// @dev Reads of one's own data are never refused, and a demand is one.
    function test_attack_suspendedToHoldItsBackupsHostage() public {
        vm.prank(operator);
        members.suspend(CLIENT);
        uint64[] memory indices = some(1, 7);
        uint256 number = demand(indices);
        answer(number, treeOf(id, LEAVES).proof(indices));
    }

    /// @dev The agreement fails meanwhile: then all of its penalties were taken, and closing brings the deposit back.
    function test_close_afterTheAgreementFailed() public {
        uint256 number = demand(some(1, 7));
        days_(10);
        toSecondHalf();
        clearing.settle(id);
        uint256 client = clearing.balanceOf(CLIENT);
        demands.close(number);
        assertEq(clearing.balanceOf(CLIENT), client + DEPOSIT);
        assertEq(clearing.reserved(), 0);
    }

    function demand(uint64[] memory indices) private returns (uint256) {
        vm.prank(node(CLIENT));
        return demands.demand(id, indices);
    }

    function answer(uint256 number, bytes memory proof) private {
        vm.prank(node(PROVIDER));
        demands.answer(number, proof);
    }

    /// @dev `count` indices, `step` apart, from 0 on.
    function some(uint256 count, uint256 step) private pure returns (uint64[] memory indices) {
        indices = new uint64[](count);
        for (uint256 i = 0; i < count; ++i) {
            indices[i] = uint64(i * step);
        }
    }

    function days_(uint256 number) private {
        for (uint256 i = 0; i < number; ++i) {
            nextEpoch();
            beatAll();
        }
    }
}

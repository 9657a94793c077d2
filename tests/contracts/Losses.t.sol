// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {LedgerView} from "peerage/interfaces/IClearing.sol";
import {IPeered} from "peerage/interfaces/IPeered.sol";
import {IProofs, Loss} from "peerage/interfaces/IProofs.sol";
import {AgreementState, Possession} from "peerage/types/Types.sol";
import {Network} from "./Network.sol";
import {SumTrees} from "./SumTrees.sol";

/// @notice Losses that providers report themselves, and what they try to gain by it.
contract LossesTest is Network {
    using SumTrees for SumTrees.Tree;

    uint32 internal constant CLIENT = 1;
    uint32 internal constant PROVIDER = 2;
    uint64 internal constant LEAVES = 13;
    uint32 internal constant EXCUSED = 16;

    bytes32 internal id;

    function setUp() public {
        deploy();
        join(3);
        toEpoch(2);
        beatAll();
        id = openBetween(CLIENT, PROVIDER);
        revise(id, LEAVES);
        for (uint256 epoch = 3; epoch <= 4; ++epoch) {
            toEpoch(epoch);
            beatAll();
        }
    }

    function test_reportLoss_isInEffectTwoEpochsLater() public {
        prove(id);
        vm.expectEmit(address(proofs));
        emit IProofs.LossReported(id, PROVIDER, 0, 6, 6, 6 + EXCUSED);
        report(0, 6);
        Loss memory loss = proofs.lossOf(id);
        assertEq(abi.encode(loss), abi.encode(Loss(0, 6, 6, 6 + EXCUSED, false)));
        assertEq(proofs.impairedWord(id, 0), ((uint256(1) << EXCUSED) - 1) << 6);
        day();
        refusedWithout(0, 6);
        prove(id);
        day();
        proveWithout(0, 6);
        (uint256 proven, uint256 impaired) = proofs.words(id, 0);
        assertEq(proven, (1 << 4) | (1 << 5) | (1 << 6));
        assertEq(impaired, proofs.impairedWord(id, 0));
    }

    function test_reportLoss_costsHalfOfTheRepair() public {
        uint256 collateral = clearing.collateralOf(id);
        uint256 client = clearing.balanceOf(CLIENT);
        report(2, 5);
        uint256 pay = (5 * uint256(1024) * 16_000_000 + GIB - 1) / GIB;
        uint256 fee = (pay * 16 + 1) / 2;
        assertApproxEqAbs(collateral - clearing.collateralOf(id), fee, 1);
        assertEq(clearing.balanceOf(CLIENT) - client, collateral - clearing.collateralOf(id));
        assertEq(credit.balanceOf(address(clearing)), clearing.total());
    }

    function test_reportLoss_impairedEpochsAreKeptAndUnpaid() public {
        report(0, LEAVES);
        prove(id);
        day();
        prove(id);
        day();
        proveWithout(0, LEAVES);
        day();
        proveWithout(0, LEAVES);
        settle();
        LedgerView memory ledger = clearing.ledgerOf(id);
        uint256 pay = (uint256(LEAVES) * 1024 * 16_000_000 + GIB - 1) / GIB;
        assertEq(ledger.paid, 2 * pay);
        assertEq(ledger.misses, 0);
    }

    function test_reportLoss_whatIsThereAllTheSameMayBeShown() public {
        report(0, 6);
        day();
        day();
        prove(id);
        assertTrue(proofs.proven(id, 6));
    }

    function test_reportRestored_asksAgainTwoEpochsLater() public {
        report(0, 6);
        day();
        day();
        proveWithout(0, 6);
        vm.expectEmit(address(proofs));
        emit IProofs.LossRestored(id, PROVIDER, 8);
        restore();
        assertEq(proofs.impairedWord(id, 0), (1 << 6) | (1 << 7));
        day();
        proveWithout(0, 6);
        vm.expectRevert(abi.encodeWithSelector(IProofs.LossStands.selector, id, 8));
        report(0, 1);
        day();
        refusedWithout(0, 6);
        prove(id);
        report(0, 1);
        assertEq(proofs.lossOf(id).since, 10);
    }

    function test_reportRestored_beforeTheLossIsInEffect() public {
        report(0, 6);
        restore();
        assertEq(proofs.impairedWord(id, 0), 0);
        day();
        day();
        refusedWithout(0, 6);
        prove(id);
    }

    function test_report_refusesWhatIsNotTheProvidersToReport() public {
        vm.expectRevert(abi.encodeWithSelector(IProofs.NotProvider.selector, id, PROVIDER, node(CLIENT)));
        vm.prank(node(CLIENT));
        proofs.reportLoss(id, 0, 1);
        vm.expectRevert(abi.encodeWithSelector(IProofs.NotProvider.selector, id, PROVIDER, node(CLIENT)));
        vm.prank(node(CLIENT));
        proofs.reportRestored(id);
        vm.expectRevert(abi.encodeWithSelector(IPeered.NotAMember.selector, address(this)));
        proofs.reportLoss(id, 0, 1);
        vm.expectRevert(abi.encodeWithSelector(IProofs.NoLoss.selector, id));
        restore();
        vm.expectRevert(abi.encodeWithSelector(IProofs.BadLoss.selector, id, 0, 0, LEAVES));
        report(0, 0);
        vm.expectRevert(abi.encodeWithSelector(IProofs.BadLoss.selector, id, 10, 4, LEAVES));
        report(10, 4);
        vm.expectRevert(
            abi.encodeWithSelector(IProofs.BadLoss.selector, id, type(uint64).max, type(uint64).max, LEAVES)
        );
        report(type(uint64).max, type(uint64).max);
        report(0, 1);
        restore();
        vm.expectRevert(abi.encodeWithSelector(IProofs.NoLoss.selector, id));
        restore();
    }

    function test_report_refusesAnAgreementThatIsOver() public {
        for (uint256 i = 0; i < 10; ++i) {
            day();
        }
        settle();
        vm.expectPartialRevert(IProofs.NothingDue.selector);
        report(0, 1);
        assertEq(uint256(stateOf(id)), uint256(AgreementState.FAILED));
    }

    /// @dev It sees what the epoch will ask for, and what the next one may, and reports just that as lost.
    function test_attack_reportsALossAfterTheLinksArePublic() public {
        day();
        (,,,,, uint64[] memory indices) = proofs.challenge(id, 5);
        report(indices[0], 1);
        refusedWithout(indices[0], indices[0] + 1);
        day();
        (,,,,, indices) = proofs.challenge(id, 6);
        refusedWithout(indices[0], indices[0] + 1);
    }

    /// @dev It keeps nothing, says so, and sends empty proofs: unpaid, and only for so long.
    function test_attack_reportsEverything() public {
        prove(id);
        report(0, LEAVES);
        day();
        prove(id);
        for (uint256 i = 0; i < EXCUSED; ++i) {
            day();
            send(PROVIDER, Possession(id, ""));
        }
        settle();
        uint256 paid = clearing.ledgerOf(id).paid;
        for (uint256 i = 0; i < 8; ++i) {
            day();
            (,,,,, uint64[] memory indices) = proofs.challenge(id, beacon.currentEpoch());
            vm.expectRevert(abi.encodeWithSelector(IProofs.LeafMissing.selector, id, indices[0]));
            send(PROVIDER, Possession(id, ""));
            vm.expectRevert(abi.encodeWithSelector(IProofs.LossStands.selector, id, 6 + EXCUSED));
            report(0, LEAVES);
        }
        settle();
        assertEq(clearing.ledgerOf(id).paid, paid);
        assertEq(uint256(stateOf(id)), uint256(AgreementState.FAILED));
    }

    /// @dev One leaf is lost for ever. It lets the report run out, and needs a proof that leaves nothing out for another.
    function test_attack_neverRestores() public {
        report(4, 1);
        for (uint256 i = 0; i < EXCUSED + 2; ++i) {
            day();
        }
        vm.expectRevert(abi.encodeWithSelector(IProofs.LossStands.selector, id, 6 + EXCUSED));
        report(4, 1);
        // Luck: this epoch does not ask for it.
        prove(id);
        report(4, 1);
        vm.expectRevert(abi.encodeWithSelector(IProofs.LossStands.selector, id, 24 + EXCUSED));
        report(4, 1);
        assertEq(proofs.lossOf(id).since, 24);
    }

    function test_attack_neverRestores_aProofOfTheEpochBeforeServesToo() public {
        report(4, 1);
        for (uint256 i = 0; i < EXCUSED + 2; ++i) {
            day();
        }
        prove(id);
        day();
        report(4, 1);
    }

    function report(uint64 from, uint64 leaves) private {
        vm.prank(node(PROVIDER));
        proofs.reportLoss(id, from, leaves);
    }

    function restore() private {
        vm.prank(node(PROVIDER));
        proofs.reportRestored(id);
    }

    function day() private {
        nextEpoch();
        beatAll();
    }

    function settle() private {
        nextEpoch();
        beatAll();
        toSecondHalf();
        clearing.settle(id);
    }

    /// @dev A proof of what is asked for, but for the leaves [from, to).
    function without(uint64 from, uint64 to) private view returns (Possession memory, uint64 missing) {
        (,,,,, uint64[] memory indices) = proofs.challenge(id, beacon.currentEpoch());
        uint256 count;
        missing = type(uint64).max;
        for (uint256 i = 0; i < indices.length; ++i) {
            if (indices[i] < from || indices[i] >= to) indices[count++] = indices[i];
            else if (missing == type(uint64).max) missing = indices[i];
        }
        assembly ("memory-safe") {
            mstore(indices, count)
        }
        return (count == 0 ? Possession(id, "") : possessionFrom(treeOf(id, LEAVES), id, indices), missing);
    }

    function proveWithout(uint64 from, uint64 to) private {
        (Possession memory answer,) = without(from, to);
        send(PROVIDER, answer);
        assertTrue(proofs.proven(id, beacon.currentEpoch()));
    }

    function refusedWithout(uint64 from, uint64 to) private {
        (Possession memory answer, uint64 missing) = without(from, to);
        assertLt(missing, LEAVES);
        vm.prank(node(PROVIDER));
        Possession[] memory all = new Possession[](1);
        all[0] = answer;
        (bool accepted,) = address(proofs).call(abi.encodeCall(IProofs.prove, (all)));
        assertFalse(accepted);
    }
}
